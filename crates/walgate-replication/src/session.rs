//! One connection while it replicates: reads what the socket has, hands over frames.

use std::future::pending;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::time::Sleep;
use walgate_connection::{ReplicationReader, ServerError};
use walgate_core::{Failure, Frames, Lsn, Relation, StopReason, Streamed};
use walgate_pgoutput::CopyFrame;

use crate::buffer::{FramingError, ReadBuffer, Run};
use crate::classify::{Reaction, classify, skips_publication};
use crate::companion::Companion;
use crate::definition::Definition;
use crate::low_water;
use crate::monitor::SourceMonitor;
use crate::pace::{BEHIND_LOWAT, LINGER, Pace};
use crate::reporter::{Reporter, ReporterEnd, Shared};
use crate::sequence_error::SequenceError;
use crate::sequencer::{Again, Output, Sequencer};
use crate::transcript::{Transcript, Untold};
use crate::trouble::{Trouble, publication_missing};
use crate::unstreamed::Passing;

/// How long we go on reading after CopyDone: a walsender inside a large transaction goes on
/// sending for as long as that takes.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long we go on reading after writing has failed. What the server has said before it closed the
/// connection lies in our socket, and the end behind it, so that this is only for a line that is
/// broken in one direction.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// `undefined_function`: what a walsender says of an array whose elements have no send function, when it
/// was asked for values in binary form.
const NO_BINARY_OUTPUT: &str = "42883";

/// What a connection hands over.
#[derive(Debug)]
pub(crate) enum Handed {
    /// Frames, or progress.
    Frames(Frames),
    /// News of a transaction that runs.
    Streamed(Streamed),
    /// The connection has to be made anew.
    Again(Again),
    /// Everything up to the position to stop at has been handed over.
    End,
}

/// One connection while it replicates.
pub(crate) struct Session {
    read: ReplicationReader,
    buffer: ReadBuffer,
    transcript: Option<Transcript>,
    /// Why what comes behind the run has to come as text.
    untold: Option<Untold>,
    sequencer: Sequencer,
    reporter: Reporter,
    companion: Companion,
    tuner: Option<Tuner>,
    waiting: Option<Waiting>,
    passing: Option<Passing>,
    /// Writing has failed: until when what the server has said last is read.
    parting: Option<Instant>,
    monitor: SourceMonitor,
    max_row: usize,
}

/// What a [`Session`] is made of.
pub(crate) struct Parts {
    pub(crate) read: ReplicationReader,
    pub(crate) buffer: ReadBuffer,
    /// What reads values in binary form, when they come so.
    pub(crate) transcript: Option<Transcript>,
    pub(crate) sequencer: Sequencer,
    pub(crate) reporter: Reporter,
    pub(crate) companion: Companion,
    /// Whether the socket's low-water mark may be set: on TCP. Under TLS it counts the bytes of the
    /// records, and a read brings all that are there.
    pub(crate) low_water: bool,
    /// The transaction for which streaming is off, if it is off for one.
    pub(crate) passing: Option<Passing>,
    pub(crate) monitor: SourceMonitor,
    pub(crate) max_row: usize,
}

/// A definition whose facts have been asked for.
struct Waiting {
    answer: Pin<Box<dyn Future<Output = Relation> + Send>>,
    since: Instant,
    said: bool,
    table: String,
}

impl Session {
    /// `parts` are those of a connection that has just switched to copy-both mode.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            read,
            buffer,
            transcript,
            sequencer,
            reporter,
            companion,
            low_water,
            passing,
            monitor,
            max_row,
        } = parts;
        let tuner = low_water.then(Tuner::new);
        Self {
            read,
            buffer,
            transcript,
            untold: None,
            sequencer,
            reporter,
            companion,
            tuner,
            waiting: None,
            passing,
            parting: None,
            monitor,
            max_row,
        }
    }

    /// The sequencer, for the next connection.
    pub(crate) const fn sequencer(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }

    /// The next frames. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Handed, Trouble> {
        let _reading = Reading::start(&self.reporter.shared);
        loop {
            if self.waiting.is_some() {
                self.definition().await?;
            }
            match self.sequencer.next() {
                Ok(Some(Output::Frames(frames))) => {
                    self.tell();
                    self.monitor
                        .frames(frames.frames.len(), self.sequencer.heard().received);
                    return Ok(Handed::Frames(frames));
                }
                Ok(Some(Output::Streamed(streamed))) => {
                    self.tell();
                    self.monitor
                        .streamed(&streamed, self.sequencer.heard().received);
                    return Ok(Handed::Streamed(streamed));
                }
                Ok(Some(Output::Again(again))) => {
                    self.tell();
                    return Ok(Handed::Again(again));
                }
                Ok(Some(Output::Undefined(definition))) => {
                    self.tell();
                    self.ask(*definition);
                }
                Ok(Some(Output::Other(tag, body))) => self.other(tag, &body)?,
                Ok(Some(Output::End)) => {
                    self.tell();
                    return Ok(Handed::End);
                }
                Ok(None) => {
                    self.tell();
                    if let Some(why) = self.untold.take() {
                        return Ok(Handed::Again(Again::Text(why)));
                    }
                    if self.may_stream_again(Instant::now()) {
                        return Ok(Handed::Again(Again::Restream));
                    }
                    self.read().await?;
                }
                Err(error) => return Err(self.malformed(&error)),
            }
        }
    }

    /// Ends the replication: the last status, CopyDone, and what still comes is discarded.
    pub(crate) async fn close(mut self) {
        let mut discarded = Vec::with_capacity(64 * 1024);
        let goodbye = async {
            tokio::join!(self.reporter.finish(), async {
                loop {
                    discarded.clear();
                    match self.read.read_buf(&mut discarded).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
            })
        };
        if tokio::time::timeout(FAREWELL, goodbye).await.is_err() {
            tracing::debug!("the server went on sending after CopyDone; closed");
        }
    }

    /// Whether the transaction for which streaming is off has passed, and nothing is open that a
    /// new connection would repeat.
    fn may_stream_again(&self, now: Instant) -> bool {
        let Some(passing) = &self.passing else {
            return false;
        };
        let passed = self.sequencer.has_passed() || passing.has_passed(self.sequencer.resume());
        passed && now >= passing.not_before && !self.sequencer.in_transaction()
    }

    /// Passes on what was heard to the feedback.
    fn tell(&mut self) {
        let heard = self.sequencer.heard();
        let now = Instant::now();
        let mut feedback = self.reporter.shared.feedback();
        feedback.received(heard.received);
        if let Some(wal_end) = heard.reply_requested {
            feedback.requested(now, wal_end);
            drop(feedback);
            self.reporter.shared.wake();
        }
    }

    /// Reads until there is at least one whole message.
    async fn read(&mut self) -> Result<(), Trouble> {
        loop {
            match self.buffer.take() {
                Ok(Some(run)) => {
                    let run = self.as_text(run);
                    self.sequencer.feed(run);
                    return Ok(());
                }
                Ok(None) => {}
                Err(error) => return Err(self.framing(&error)),
            }
            self.linger();
            let read = loop {
                tokio::select! {
                    biased;
                    read = self.read.read_buf(self.buffer.room()) => break read,
                    mark = Tuner::due(self.tuner.as_mut()) => self.low_water(mark),
                    end = stopped_writing(&self.reporter.shared, self.parting) => match end {
                        // Whoever closed the connection may have said why.
                        ReporterEnd::Io(_) if self.parting.is_none() => {
                            self.parting = Some(Instant::now() + LAST_WORDS);
                        }
                        end => return Err(self.reporter_ended(end)),
                    },
                    trouble = self.companion.trouble() => return Err(trouble),
                }
            };
            let now = Instant::now();
            // The reporter may have closed the connection, and then it knows why.
            let ended = || {
                let end = self.reporter.shared.end();
                let closed = end.filter(|end| !matches!(end, ReporterEnd::Io(_)));
                closed.map(|end| self.reporter_ended(end))
            };
            match read {
                Ok(0) => return Err(ended().unwrap_or_else(|| self.server_closed(now))),
                Ok(bytes) => {
                    self.monitor.read(now, bytes);
                    self.reporter.shared.feedback().heard(now, Lsn::ZERO);
                    let filled = self.buffer.is_full();
                    let tuner = self.tuner.as_mut();
                    let mark = tuner.and_then(|tuner| tuner.pace.on_read(now, bytes, filled));
                    self.low_water(mark);
                }
                Err(error) => {
                    let broke = || Trouble::retry(format!("the connection broke: {error}"));
                    return Err(ended().unwrap_or_else(broke));
                }
            }
        }
    }

    /// The run with its values as text, up to the first that has none.
    fn as_text(&mut self, run: Run) -> Run {
        let Some(transcript) = &mut self.transcript else {
            return run;
        };
        let (run, untold) = transcript.take(&run);
        self.untold = untold;
        run
    }

    /// Lets the rest of a transaction come together, where that is worth it. The thread sleeps, for less than
    /// other tasks of it would notice: no timer of the runtime is as short.
    fn linger(&mut self) {
        let is_open = self.sequencer.in_transaction();
        let tuner = self.tuner.as_mut();
        if tuner.is_some_and(|tuner| tuner.pace.lingers(is_open)) {
            self.low_water(Some(BEHIND_LOWAT));
            std::thread::sleep(LINGER);
            self.low_water(Some(1));
        }
    }

    /// Sets the socket's low-water mark, if it changes.
    fn low_water(&self, mark: Option<u32>) {
        let Some(mark) = mark else { return };
        if let Err(error) = low_water::set(self.read.as_fd(), mark) {
            tracing::debug!(%error, mark, "could not set SO_RCVLOWAT");
        }
    }

    fn ask(&mut self, definition: Definition) {
        let table = format!(
            "{}.{}",
            definition.relation().schema,
            definition.relation().name
        );
        self.reporter.shared.feedback().asks_the_catalog(true);
        let answer = self.companion.ask(definition);
        self.waiting = Some(Waiting {
            answer,
            since: Instant::now(),
            said: false,
            table,
        });
    }

    /// Waits for the facts of a definition. Nothing is read meanwhile, and the server is answered.
    async fn definition(&mut self) -> Result<(), Trouble> {
        let Some(waiting) = &mut self.waiting else {
            return Ok(());
        };
        self.reporter.shared.feedback().paused(Instant::now());
        let relation = loop {
            let patience = Duration::from_secs(if waiting.said { 30 } else { 5 });
            tokio::select! {
                relation = &mut waiting.answer => break relation,
                end = self.reporter.shared.ended() => return Err(self.reporter_ended(end)),
                trouble = self.companion.trouble() => return Err(trouble),
                () = tokio::time::sleep(patience) => {
                    waiting.said = true;
                    let seconds = waiting.since.elapsed().as_secs();
                    tracing::warn!(table = %waiting.table, seconds, "waiting for the catalog to describe the table");
                }
            }
        };
        self.waiting = None;
        self.sequencer.define(relation);
        let mut feedback = self.reporter.shared.feedback();
        feedback.asks_the_catalog(false);
        feedback.reading(Instant::now());
        Ok(())
    }

    /// A message that is not CopyData.
    fn other(&mut self, tag: u8, body: &Bytes) -> Result<(), Trouble> {
        match tag {
            b'N' => self.notice(&ServerError::parse(body)),
            // A setting was changed on the server's side; those that matter are pinned.
            b'S' => Ok(()),
            b'E' => {
                let error = ServerError::parse(body);
                if self.transcript.is_some() && error.sqlstate == NO_BINARY_OUTPUT {
                    self.untold = Some(Untold::Server(error.to_string()));
                    return Ok(());
                }
                Err(self.server_error(&error))
            }
            // CopyDone and what follows: a server that shuts down, after it has sent everything.
            b'c' | b'C' | b'Z' => Err(Trouble::retry("the server has ended the replication")),
            _ => Err(self.data(format!("unexpected message with tag 0x{tag:02x}"))),
        }
    }

    fn notice(&mut self, notice: &ServerError) -> Result<(), Trouble> {
        self.monitor.notice();
        if skips_publication(notice) {
            let what = format!("the server skips a publication: {notice}");
            return Err(Trouble::Stop(publication_missing(
                what,
                self.sequencer.resume(),
            )));
        }
        let hint = classify(notice).hint;
        if notice.severity == "WARNING" {
            tracing::warn!(sqlstate = %notice.sqlstate, hint, "the server warns: {notice}");
        } else {
            tracing::info!(sqlstate = %notice.sqlstate, "the server says: {notice}");
        }
        Ok(())
    }

    fn server_error(&self, error: &ServerError) -> Trouble {
        let at = self.sequencer.resume();
        if classify(error).reaction == Reaction::Publication {
            return Trouble::Stop(publication_missing(error.to_string(), at));
        }
        Trouble::server(error, "replication", at)
    }

    fn server_closed(&self, now: Instant) -> Trouble {
        let sent = self.reporter.shared.feedback().last_sent();
        let ago = sent.map_or(0, |sent| now.saturating_duration_since(sent).as_secs());
        Trouble::retry(format!(
            "the server closed the connection without a word (our last status was sent {ago} s ago; \
             wal_sender_timeout, a crash or a kill look like this: the server's log tells)"
        ))
    }

    fn reporter_ended(&self, end: ReporterEnd) -> Trouble {
        match end {
            ReporterEnd::Dead => Trouble::retry(
                "the server has not answered for too long: the connection is dead",
            ),
            ReporterEnd::Yield => Trouble::retry(
                "the server is shutting down and waits for what is not confirmed yet: let go",
            ),
            ReporterEnd::Io(error) => Trouble::retry(format!("the connection broke: {error}")),
            ReporterEnd::Beyond(lsn) => Trouble::Stop(
                Failure::new(
                    StopReason::State,
                    format!("{lsn} was to be confirmed, and was never received"),
                )
                .hint("the state belongs to another server or epoch: check [state] and [source] epoch"),
            ),
        }
    }

    fn malformed(&self, error: &SequenceError) -> Trouble {
        self.data(error.to_string())
    }

    fn framing(&self, error: &FramingError) -> Trouble {
        match error {
            FramingError::Length(length) => self.data(format!(
                "a message of length {length}: this is not the protocol"
            )),
            FramingError::TooLong { len, head } => {
                let (lsn, table) = self.describe(head);
                let xid = self
                    .sequencer
                    .open_xid()
                    .map_or_else(String::new, |xid| format!(" of transaction {xid}"));
                let what = format!(
                    "a row of {len} bytes{xid}{table} at {lsn} is longer than max_row ({} bytes)",
                    self.max_row
                );
                let failure = Failure::new(StopReason::Data, what);
                Trouble::Data(
                    self.sequencer.resume(),
                    failure.hint("raise [source] max_row"),
                )
            }
        }
    }

    /// What the first bytes of a message say about it.
    fn describe(&self, head: &[u8]) -> (Lsn, String) {
        let Ok(CopyFrame::XLogData {
            wal_start, payload, ..
        }) = CopyFrame::decode(head)
        else {
            return (self.sequencer.resume(), String::new());
        };
        let oid = walgate_pgoutput::peek_relation(payload, self.sequencer.in_stream()).ok();
        let table = oid.and_then(|oid| self.sequencer.relation(oid));
        let table = table.map_or_else(String::new, |table| {
            format!(" in {}.{}", table.schema, table.name)
        });
        (wal_start, table)
    }

    fn data(&self, what: String) -> Trouble {
        let at = self.sequencer.resume();
        let xid = self
            .sequencer
            .open_xid()
            .map_or_else(String::new, |xid| format!(", transaction {xid}"));
        let failure = Failure::new(StopReason::Data, format!("{what} (behind {at}{xid})"));
        Trouble::Data(
            at,
            failure.hint("the slot was not moved; a proxy in between, or a bug: please report it"),
        )
    }
}

/// Waits for the reporter to end by itself, or, once it has and `parting` is set, for that time.
/// Cancel-safe.
async fn stopped_writing(shared: &Shared, parting: Option<Instant>) -> ReporterEnd {
    if let Some(parting) = parting {
        tokio::time::sleep_until(parting.into()).await;
    }
    shared.ended().await
}

/// Marks the time in which silence counts.
struct Reading(Arc<Shared>);

impl Reading {
    fn start(shared: &Arc<Shared>) -> Self {
        shared.feedback().reading(Instant::now());
        Self(Arc::clone(shared))
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.feedback().paused(Instant::now());
    }
}

/// The timer of [`Pace`].
struct Tuner {
    pace: Pace,
    timer: Pin<Box<Sleep>>,
}

impl Tuner {
    fn new() -> Self {
        Self {
            pace: Pace::new(Instant::now()),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// Waits until the mark has to be lowered, and returns it; for ever when there is nothing to
    /// lower. Cancel-safe.
    async fn due(tuner: Option<&mut Self>) -> Option<u32> {
        let Some(tuner) = tuner else {
            return pending().await;
        };
        let Some(deadline) = tuner.pace.deadline() else {
            return pending().await;
        };
        tuner.timer.as_mut().reset(deadline.into());
        tuner.timer.as_mut().await;
        tuner.pace.on_timer(Instant::now())
    }
}
