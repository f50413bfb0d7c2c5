//! `walgate record`.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use walgate_connection::ConnectionConfig;
use walgate_core::{
    Failure, Feed, FrameKind, Frames, Lsn, Position, Source, StopReason, Streamed, Watermark,
};
use walgate_journal::segment::Keyring;
use walgate_journal::storage::{Folder, Storage};
use walgate_journal::{Cursor, Demand, DiskJournal, DiskOptions, Journal};
use walgate_pipeline::Streams;
use walgate_replication::{
    OnTooLarge, PostgresSource, SourceConfig, StreamBounds, StreamTransactions,
};

use crate::args::RecordArgs;
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::{Request, Signals};
use crate::tail;
use crate::wiring::{Cut, block_on, blocking, cut, facts};

/// Records the changes of a database into a folder.
///
/// # Errors
///
/// When it can't go on without a human. What was recorded before is sealed then too.
pub fn record(args: &RecordArgs, console: &Console) -> Result<(), Ending> {
    let out = args.out()?;
    check_empty(&out)?;
    let keys = args.keys.load()?;
    block_on(Box::pin(async {
        let mut signals = Signals::new()
            .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
        let tail = args.as_tail();
        let recording = async |connection: ConnectionConfig, names, token: String| {
            let source = tail::source(&tail, connection, names, &token);
            let ends = args.until.is_some();
            let options = options(&out, keys.clone());
            let tally = Box::pin(run(source, options, ends, console, &mut signals)).await?;
            say(console, &tally.summary(&out));
            Ok(())
        };
        tail::with_publications(&tail, recording).await
    }))
}

/// A recording is one run of one source.
pub(crate) fn check_empty(out: &Path) -> Result<(), Failure> {
    if !out.exists() {
        return Ok(());
    }
    let names = Folder::read_only(out)?.list();
    let names = names.map_err(|error| {
        Failure::new(
            StopReason::State,
            format!("{} can't be read: {error}", out.display()),
        )
    })?;
    if names.is_empty() {
        return Ok(());
    }
    let message = format!("{} is not empty", out.display());
    Err(Failure::new(StopReason::State, message)
        .hint("name a folder that is not there yet: a recording is never added to"))
}

/// Behind every position.
const END: Position = Position::committed(u8::MAX, Lsn(u64::MAX));

/// What was recorded.
#[derive(Debug, Default)]
struct Tally {
    changes: u64,
    transactions: u64,
    last: Position,
    bytes: u64,
}

impl Tally {
    fn count(&mut self, frames: &Frames) {
        // What a transaction repeats that was cut counts once.
        let Cut { frames, last, .. } = cut(frames.clone(), self.last, END);
        self.last = last;
        for frame in &frames.frames {
            match frame.kind {
                FrameKind::Begin => {}
                FrameKind::Commit => self.transactions += 1,
                _ => self.changes += 1,
            }
        }
    }

    fn count_streamed(&mut self, committed: Option<(Position, u64)>) {
        if let Some((last, changes)) = committed
            && last > self.last
        {
            self.last = last;
            self.changes += changes;
            self.transactions += 1;
        }
    }

    fn summary(&self, out: &Path) -> String {
        let Self {
            changes,
            transactions,
            last,
            bytes,
        } = self;
        let (out, bytes) = (out.display(), crate::status_line::bytes(*bytes));
        let last = last.lsn();
        format!("{changes} changes of {transactions} transactions up to {last}, {bytes} in {out}\n")
    }
}

/// Nobody ever releases anything of a recording; the reader's name is what a full disk is told with.
const READER: &str = "the recording";

async fn run(
    mut source: SourceConfig,
    options: DiskOptions,
    ends: bool,
    console: &Console,
    signals: &mut Signals,
) -> Result<Tally, Ending> {
    // What the disk has no room for while it runs comes after its commit.
    source.streaming = StreamTransactions::On(StreamBounds {
        max_transaction: u64::MAX,
        max_together: u64::MAX,
        on_too_large: OnTooLarge::Unstream,
    });
    let confirmed = Watermark::<Lsn>::default();
    let start = PostgresSource::start(source, None, confirmed.clone());
    let mut start = pin!(start);
    let started = loop {
        tokio::select! {
            started = &mut start => break started?,
            request = signals.next() => match request {
                Request::Reload => {}
                Request::Drain | Request::End => return Ok(Tally::default()),
            },
        }
    };
    for warning in &started.warnings {
        tracing::info!("{warning}");
    }
    let begin = Position::new(started.identity.epoch, started.resume, 0);
    let facts = facts(&started);
    let out = options.folder.clone();
    let journal = blocking(move || DiskJournal::open(options, None)?.start(facts, begin)).await?;
    let keep = journal.reader(READER, Demand::Required, begin);
    say(
        console,
        &format!("recording into {}; Ctrl-C ends it\n", out.display()),
    );
    let mut recorder = Recorder {
        source: started.source,
        streams: Streams::new(journal.clone()),
        journal,
        confirmed,
        tally: Tally::default(),
        ends,
        _keep: keep,
    };
    let recorded = recorder.record(signals).await;
    let sealed = recorder.close().await;
    recorded.and(sealed)?;
    Ok(recorder.tally)
}

/// Everything is kept, whatever its size and age; what the disk has no room for waits in the slot.
fn options(out: &Path, keys: Keyring) -> DiskOptions {
    DiskOptions {
        keys,
        replay_bytes: u64::MAX,
        replay_age: Duration::MAX,
        budget_bytes: Some(u64::MAX),
        keep_free_percent: 0,
        ..DiskOptions::new(out)
    }
}

struct Recorder {
    source: PostgresSource,
    /// Transactions that run.
    streams: Streams,
    journal: Journal,
    /// What the server is told.
    confirmed: Watermark<Lsn>,
    tally: Tally,
    /// It ends by itself, and was promised to be complete.
    ends: bool,
    _keep: Cursor,
}

impl Recorder {
    /// Until the source ends or somebody wants it to.
    async fn record(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        let durable = self.journal.durable().unwrap_or_default();
        loop {
            let seen = self.confirmed.get();
            tokio::select! {
                biased;
                request = signals.next() => match request {
                    Request::Reload => {}
                    Request::Drain | Request::End => return Ok(()),
                },
                safe = durable.above(seen) => {
                    self.confirmed.advance(safe);
                }
                feed = self.source.next() => match feed? {
                    Feed::Frames(frames) => {
                        self.tally.count(&frames);
                        if !append(&self.journal, frames, signals).await? {
                            return Ok(());
                        }
                    }
                    Feed::Streamed(streamed) => {
                        if !self.stream(streamed, signals).await? {
                            return Ok(());
                        }
                    }
                    Feed::Gap(gap) => {
                        let message = format!(
                            "changes between {} and {} are lost: {}",
                            gap.from, gap.to, gap.reason
                        );
                        self.journal.append_gap(gap);
                        if self.ends {
                            return Err(Failure::new(StopReason::Gap, message)
                                .hint("use a named slot (--slot), which outlives its connection"));
                        }
                        tracing::error!("{message}");
                    }
                    Feed::End => return Ok(()),
                },
            }
        }
    }

    /// Takes news of a transaction that runs. Whether it was taken; not when somebody wants an end
    /// while the disk has no room.
    async fn stream(&mut self, streamed: Streamed, signals: &mut Signals) -> Result<bool, Failure> {
        let committed = committed(&streamed);
        let taken = unless_ended(self.streams.take(streamed), signals).await;
        let Some(taken) = taken else {
            return Ok(false);
        };
        match taken? {
            Some((xid, why)) => self.source.unstream(xid, why)?,
            None => self.tally.count_streamed(committed),
        }
        Ok(true)
    }

    /// Makes it safe, seals it, and confirms it.
    async fn close(&mut self) -> Result<(), Failure> {
        let closed = self.journal.close().await;
        let durable = self.journal.durable().unwrap_or_default();
        self.confirmed.advance(durable.get());
        self.tally.bytes = self.journal.stats().disk.map_or(0, |disk| disk.bytes);
        closed.and(self.source.close().await)
    }
}

/// Whether it was appended; not when somebody wants an end while the disk has no room.
async fn append(journal: &Journal, frames: Frames, signals: &mut Signals) -> Result<bool, Failure> {
    let appended = unless_ended(journal.append(frames), signals).await;
    appended.map_or(Ok(false), |appended| appended.map(|()| true))
}

/// What some work gives; none when somebody wants an end before.
async fn unless_ended<T>(work: impl Future<Output = T>, signals: &mut Signals) -> Option<T> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Some(done),
            request = signals.next() => match request {
                Request::Reload => {}
                Request::Drain | Request::End => return None,
            },
        }
    }
}

/// Where a transaction ends that commits, and its changes.
fn committed(streamed: &Streamed) -> Option<(Position, u64)> {
    match streamed {
        Streamed::Commit {
            transaction,
            epoch,
            frames,
            ..
        } => Some((Position::committed(*epoch, transaction.commit_lsn), *frames)),
        _ => None,
    }
}

/// Speaks to the person who waits, unless they want quiet. A closed stderr is no reason to end.
fn say(console: &Console, text: &str) {
    if !console.quiet {
        drop(console.terminal.log(text.as_bytes()));
    }
}
