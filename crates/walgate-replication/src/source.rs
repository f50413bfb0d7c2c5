//! The source: one connection after the other, and what is kept between them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{
    Backoff, BackoffOptions, Checkpoint, Failure, Feed, Gap, Lsn, Oid, Position, Source,
    SourceIdentity, StopReason, Streamed, Watermark, Xid,
};
use walgate_pgoutput::{Dialect, ProtocolVersion, Streaming};

use crate::binary_types::Wanted;
use crate::buffer::ReadBuffer;
use crate::companion::Companion;
use crate::config::{BinaryValues, OnTooLarge, SlotMode, SourceConfig, StreamTransactions};
use crate::feedback::Feedback;
use crate::monitor::{SourceMonitor, SourceState};
use crate::outage::{Next, Outage};
use crate::reporter::Reporter;
use crate::sequencer::{Again, KnownRelations, Sequencer, StopAt, StreamLimits, Unstream, Why};
use crate::session::{Handed, Parts, Session};
use crate::start::{self, Known, Opened};
use crate::transcript::{Transcript, Untold};
use crate::trouble::Trouble;
use crate::unstreamed::Unstreamed;

/// A source that has started.
#[derive(Debug)]
pub struct Started {
    /// The source.
    pub source: PostgresSource,
    /// Whose log it is; it goes into the checkpoint.
    pub identity: SourceIdentity,
    /// Where replication starts: everything that commits below it is known to be durable, or was
    /// confirmed before us.
    pub resume: Lsn,
    /// The server's version as it prints it, such as `15.18`.
    pub server_version: String,
    /// The end of the server's log: everything that was ever sent to us lies before it.
    pub flushed: Lsn,
    /// What waits here is to be cut at `resume` before anything else: it is not the server's
    /// history behind it.
    pub cut: bool,
    /// What a human should know and need not act upon.
    pub warnings: Vec<String>,
    /// Where the source will stop, when it was asked to.
    pub stop_at: Option<Lsn>,
    /// How the messages of its frames are encoded. Those of streamed transactions are handed on in
    /// the same form.
    pub dialect: Dialect,
}

/// PostgreSQL's log through a logical replication slot. It reconnects by itself.
pub struct PostgresSource {
    config: Arc<SourceConfig>,
    confirmed: Watermark<Lsn>,
    monitor: SourceMonitor,
    known: Known,
    relations: KnownRelations,
    backoff: Backoff,
    outage: Outage,
    phase: Phase,
    gap: Option<Gap>,
    unstreamed: Unstreamed,
    /// A connection that begins here, or before, asks for values as text, unless the catalog explains
    /// this type by then.
    text_at: Option<(Lsn, Option<Oid>)>,
    /// The spools of the connection before are void, and nobody was told yet.
    discard: bool,
    slot_wait: Duration,
}

/// A connection that streams.
struct Begun {
    flushed: Lsn,
    server_version: String,
    warnings: Vec<String>,
    resume: Lsn,
    cut: bool,
}

enum Phase {
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Trouble>> + Send>>),
    Pausing(Instant),
    Streaming(Box<Session>),
    /// The position to stop at is reached; confirmations still go to the server.
    Stopped(Box<Session>),
    /// A connection is being closed in order to make a new one.
    Leaving(Pin<Box<dyn Future<Output = ()> + Send>>),
    Closed,
}

/// How long a dead connection of our own may go on holding the slot: the server finds out after
/// `wal_sender_timeout`, and this much later at the latest.
const SLOT_GRACE: Duration = Duration::from_secs(15);
/// PostgreSQL's default `wal_sender_timeout`.
const DEFAULT_SENDER_TIMEOUT: Duration = Duration::from_secs(60);

/// Without streaming of transactions in progress.
const PLAIN: Dialect = Dialect {
    version: ProtocolVersion::V1,
    streaming: Streaming::Off,
};
/// With it. Version 2 has all of it (14 and later); what 3 and 4 add is two-phase commit and the
/// position of roll-backs, which only `streaming 'parallel'` sends.
const STREAMING: Dialect = Dialect {
    version: ProtocolVersion::V2,
    streaming: Streaming::On,
};

impl PostgresSource {
    /// Connects, checks server, publications and slot against the checkpoint, and starts the
    /// replication.
    ///
    /// `confirmed` is advanced by the caller, and only after the checkpoint that says so is
    /// durable; it is what the server is told as flushed. It must belong to this run: a watermark
    /// of an earlier epoch has other LSNs.
    ///
    /// # Errors
    /// What needs a human. A server that can't be reached is waited for when
    /// [`SourceConfig::wait_at_start`] says so.
    pub async fn start(
        config: SourceConfig,
        checkpoint: Option<Checkpoint>,
        confirmed: Watermark<Lsn>,
    ) -> Result<Started, Failure> {
        let mut known = checkpoint.map_or_else(Known::default, known_from);
        let known_epoch = known.identity.as_ref().map(|identity| identity.epoch);
        if known_epoch.is_some_and(|epoch| epoch < config.epoch) {
            // LSNs of another log.
            (known.delivered, known.received) = (Lsn::ZERO, Lsn::ZERO);
        }
        let waiting = config.waiting.as_ref().map(|waiting| waiting.newest);
        known.received = known.received.max(behind(config.held, config.epoch));
        let delivered = known.received.max(behind(waiting, config.epoch));
        known.delivered = known.delivered.max(delivered);
        let patient = config.wait_at_start;
        let monitor = config.monitor.clone();
        let mut source = Self {
            config: Arc::new(config),
            confirmed,
            monitor,
            known,
            relations: KnownRelations::default(),
            backoff: Backoff::new(BackoffOptions::default()),
            outage: Outage::new(patient),
            phase: Phase::Pausing(Instant::now()),
            gap: None,
            unstreamed: Unstreamed::default(),
            text_at: None,
            discard: false,
            slot_wait: DEFAULT_SENDER_TIMEOUT + SLOT_GRACE,
        };
        loop {
            if let Some(begun) = source.step().await? {
                let identity = source.known.identity.clone();
                let Some(identity) = identity else { continue };
                let stop_at = source.known.stop_at.map(|stop| stop.lsn);
                return Ok(Started {
                    source,
                    identity,
                    resume: begun.resume,
                    server_version: begun.server_version,
                    flushed: begun.flushed,
                    cut: begun.cut,
                    warnings: begun.warnings,
                    stop_at,
                    dialect: PLAIN,
                });
            }
        }
    }

    /// A shared look at what the source is doing.
    pub fn monitor(&self) -> SourceMonitor {
        self.monitor.clone()
    }

    /// Whose log it is now: the timeline may have changed since the start.
    pub const fn identity(&self) -> Option<&SourceIdentity> {
        self.known.identity.as_ref()
    }

    /// Brings the connection one step further while there is none. Cancel-safe.
    async fn step(&mut self) -> Result<Option<Begun>, Failure> {
        match &mut self.phase {
            Phase::Pausing(until) => {
                tokio::time::sleep_until((*until).into()).await;
                let (config, known) = (Arc::clone(&self.config), self.known.clone());
                let open = start::open(config, known, self.dialect(), self.binary());
                self.phase = Phase::Opening(Box::pin(open));
            }
            Phase::Opening(opening) => match opening.await {
                Ok(opened) => return self.opened(opened),
                Err(trouble) => self.failed(trouble)?,
            },
            Phase::Leaving(leaving) => {
                leaving.await;
                self.phase = Phase::Pausing(Instant::now());
            }
            Phase::Streaming(_) | Phase::Stopped(_) | Phase::Closed => {}
        }
        Ok(None)
    }

    /// What the next connection asks for.
    fn dialect(&self) -> Dialect {
        match (self.config.streaming, self.unstreamed.passing()) {
            (StreamTransactions::On(_), None) => STREAMING,
            (StreamTransactions::Off, _) | (StreamTransactions::On(_), Some(_)) => PLAIN,
        }
    }

    /// Whether the next connection may ask for values in binary form. A temporary slot ends with its
    /// connection: there is no other one that could ask for text from where it was.
    fn binary(&self) -> Wanted {
        let temporary = self.config.slot.mode == SlotMode::Temporary;
        if temporary || self.config.binary == BinaryValues::Off {
            return Wanted::No;
        }
        let position = self.known.position.unwrap_or_default();
        match self.text_at {
            Some((at, missing)) if position <= at => missing.map_or(Wanted::No, Wanted::With),
            _ => Wanted::Yes,
        }
    }

    /// What a connection that was made adds to what is known. `cut`: what waits here is cut off.
    fn know(&mut self, identity: SourceIdentity, start: Lsn, stop_at: Option<StopAt>, cut: bool) {
        let known = &mut self.known;
        if cut {
            known.delivered = known.received;
        }
        known.identity = Some(identity);
        known.position = Some(start);
        known.delivered = known.delivered.max(start);
        known.stop_at = stop_at;
        known.reconnecting = true;
    }

    /// For a connection that begins at `start`, with what the one before has learned.
    fn sequencer(&mut self, start: Lsn, stop_at: Option<StopAt>) -> Sequencer {
        let passing = self.unstreamed.passing();
        let awaited = passing.and_then(|passing| passing.xid);
        Sequencer::new(self.dialect(), self.config.epoch, start, stop_at)
            .with_known(std::mem::take(&mut self.relations))
            .with_limits(limits(&self.config))
            .awaiting(awaited)
    }

    fn opened(&mut self, opened: Opened) -> Result<Option<Begun>, Failure> {
        let now = Instant::now();
        let Opened {
            stream,
            sql,
            server,
            identity,
            start,
            confirmed,
            flushed,
            cut,
            gap,
            warnings,
            stop_at,
            types,
        } = opened;
        let pid = Some(stream.backend_pid()).filter(|pid| *pid > 0);
        let low_water = stream.is_tcp() && cfg!(target_os = "linux");
        let timeout = self.config.wal_sender_timeout.or(server.wal_sender_timeout);
        // Zero is off.
        let timeout = timeout.filter(|timeout| !timeout.is_zero());
        self.slot_wait = timeout.unwrap_or(DEFAULT_SENDER_TIMEOUT) + SLOT_GRACE;
        let (read, write) = match stream.split() {
            Ok(halves) => halves,
            Err(error) => {
                self.failed(Trouble::retry(format!("split the connection: {error}")))?;
                return Ok(None);
            }
        };
        let interval = status_interval(self.config.status_interval, timeout);
        let feedback = Feedback::new(now, interval, start, confirmed).patient_for(timeout);
        let mark = (!self.config.peek).then(|| self.confirmed.clone());
        let reporter = Reporter::start(write, feedback, mark, self.monitor.clone());
        let shared = Arc::clone(&reporter.shared);
        let passing = self.unstreamed.passing().cloned();
        let companion =
            Companion::start(Arc::clone(&self.config), sql, pid, passing.clone(), shared);
        let sequencer = self.sequencer(start, stop_at);
        let (size, max_row) = sizes(&self.config);
        let transcript = types.map(|types| Transcript::new(self.dialect(), types, size, max_row));
        let buffer = ReadBuffer::new(size, max_row);
        let parts = Parts {
            read,
            buffer,
            transcript,
            sequencer,
            reporter,
            companion,
            low_water,
            passing,
            monitor: self.monitor.clone(),
            max_row,
        };
        self.phase = Phase::Streaming(Box::new(Session::new(parts)));
        self.monitor.wal_sender(pid);
        self.monitor.enter(SourceState::Streaming { since: now });
        self.backoff.succeeded(now);
        if self.known.reconnecting {
            self.monitor.reconnected();
            warn(&self.config, &warnings);
        }
        self.outage.over(now, start, self.known.reconnecting);
        self.gap = gap;
        self.know(identity, start, stop_at, cut);
        Ok(Some(Begun {
            server_version: server.version,
            warnings,
            resume: start,
            cut,
            flushed,
        }))
    }

    /// An attempt, or a connection, has come to its end.
    fn failed(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let now = Instant::now();
        let delay = self.backoff.failed(now, fastrand::f64());
        match self.outage.next(now, &trouble, delay, self.slot_wait) {
            Next::Stop(failure) => {
                self.phase = Phase::Closed;
                self.monitor.enter(SourceState::Ended);
                Err(failure)
            }
            Next::Again { delay, state } => {
                self.monitor.enter(state);
                self.phase = Phase::Pausing(now + delay);
                Ok(())
            }
        }
    }

    /// The connection is gone: what it knew is kept.
    fn lost(&mut self, trouble: Trouble) -> Result<(), Failure> {
        let streamed = self.dialect() == STREAMING;
        self.keep();
        if let (Trouble::Data(..), true) = (&trouble, streamed) {
            // It may be the stream that is at fault, and not the data.
            let now = Instant::now();
            self.unstreamed.begin(now, None);
            self.monitor.unstreamed();
            tracing::info!(
                "connecting again without streaming until what is running has passed: {}",
                trouble.what()
            );
            self.phase = Phase::Pausing(now);
            return Ok(());
        }
        // Closes the socket, so that the server lets go of the slot.
        self.phase = Phase::Closed;
        self.failed(trouble)
    }

    /// What the connection knew is kept for the next.
    fn keep(&mut self) {
        let Phase::Streaming(session) = &mut self.phase else {
            return;
        };
        let sequencer = session.sequencer();
        let resume = sequencer.resume();
        self.known.position = Some(resume);
        self.known.delivered = self.known.delivered.max(sequencer.reached());
        self.unstreamed.ended(resume, sequencer.has_passed());
        self.discard |= sequencer.has_streams();
        self.relations = sequencer.take_known();
    }

    /// The connection is sound and has to be made anew all the same.
    fn again(&mut self, again: &Again) -> Result<(), Failure> {
        self.keep();
        match again {
            Again::Unstream(unstream) => self.unstream(unstream)?,
            Again::Restream => tracing::info!("connecting again: transactions may be streamed"),
            Again::Forget => {
                tracing::info!(
                    "connecting again: there are too many definitions of tables to keep"
                );
            }
            Again::Text(why) => {
                let missing = match why {
                    Untold::Type { type_oid, .. } => Some(*type_oid),
                    Untold::Value(_) | Untold::Server(_) => None,
                };
                self.text_at = Some((self.known.position.unwrap_or_default(), missing));
                tracing::info!("connecting again for values as text: {why}");
            }
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        if let Phase::Streaming(session) = phase {
            self.phase = Phase::Leaving(Box::pin(session.close()));
        }
        Ok(())
    }

    fn unstream(&mut self, unstream: &Unstream) -> Result<(), Failure> {
        let policy = match self.config.streaming {
            StreamTransactions::On(bounds) => bounds.on_too_large,
            StreamTransactions::Off => OnTooLarge::Unstream,
        };
        if unstream.is_too_large() && policy == OnTooLarge::Stop {
            self.phase = Phase::Closed;
            self.monitor.enter(SourceState::Ended);
            let failure = Failure::new(StopReason::Data, unstream.to_string());
            return Err(failure.hint(
                "raise the limit, or let the server keep such transactions until they commit (unstream)",
            ));
        }
        self.unstreamed.begin(Instant::now(), Some(unstream.xid));
        self.monitor.unstreamed();
        tracing::info!(
            xid = unstream.xid,
            "connecting again without streaming until the transaction has passed: {unstream}"
        );
        Ok(())
    }
}

impl fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSource")
            .field("slot", &self.config.slot.name)
            .field("state", &self.monitor.state())
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl Source for PostgresSource {
    async fn next(&mut self) -> Result<Feed, Failure> {
        loop {
            if std::mem::take(&mut self.discard) {
                return Ok(Feed::Streamed(Streamed::DiscardAll));
            }
            if let Some(gap) = self.gap.take() {
                tracing::warn!(slot = %self.config.slot.name, from = %gap.from, to = %gap.to, reason = %gap.reason, "changes are lost");
                return Ok(Feed::Gap(gap));
            }
            match &mut self.phase {
                Phase::Streaming(session) => match session.next().await {
                    Ok(Handed::Frames(frames)) => return Ok(Feed::Frames(frames)),
                    Ok(Handed::Streamed(streamed)) => return Ok(Feed::Streamed(streamed)),
                    Ok(Handed::Again(again)) => self.again(&again)?,
                    Ok(Handed::End) => {
                        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
                        if let Phase::Streaming(session) = phase {
                            self.phase = Phase::Stopped(session);
                        }
                    }
                    Err(trouble) => self.lost(trouble)?,
                },
                Phase::Stopped(_) | Phase::Closed => {
                    self.monitor.enter(SourceState::Ended);
                    return Ok(Feed::End);
                }
                Phase::Opening(_) | Phase::Pausing(_) | Phase::Leaving(_) => {
                    self.step().await?;
                }
            }
        }
    }

    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure> {
        if let Phase::Streaming(session) = &mut self.phase {
            let unstream = session.sequencer().no_room(xid, why);
            self.again(&Again::Unstream(unstream))?;
        } else {
            // The connection is gone already, and with it all that it had sent.
            let why = Why::NoRoom(why, None);
            self.unstream(&Unstream { xid, why })?;
        }
        self.discard = true;
        Ok(())
    }

    fn timeline(&self) -> Option<u32> {
        self.known
            .identity
            .as_ref()
            .map(|identity| identity.timeline)
    }

    async fn close(&mut self) -> Result<(), Failure> {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        self.monitor.enter(SourceState::Ended);
        if let Phase::Streaming(session) | Phase::Stopped(session) = phase {
            session.close().await;
        }
        Ok(())
    }
}

/// Never more than a third of what the server waits for.
fn status_interval(configured: Duration, wal_sender_timeout: Option<Duration>) -> Duration {
    let most = wal_sender_timeout.map_or(configured, |timeout| timeout / 3);
    configured.min(most).max(Duration::from_millis(10))
}

/// What a read may bring, and how long a message may be: bytes.
fn sizes(config: &SourceConfig) -> (usize, usize) {
    let max_row = config.max_row;
    let max_row = max_row.clamp(1 << 16, SourceConfig::MAX_ROW_LIMIT);
    (config.read_buffer.max(1 << 12), max_row)
}

fn warn(config: &SourceConfig, warnings: &[String]) {
    for warning in warnings {
        tracing::warn!(slot = %config.slot.name, "{warning}");
    }
}

fn limits(config: &SourceConfig) -> StreamLimits {
    match config.streaming {
        StreamTransactions::Off => StreamLimits::NONE,
        StreamTransactions::On(bounds) => StreamLimits {
            each: bounds.max_transaction,
            together: bounds.max_together,
        },
    }
}

/// Where the log has everything up to a position of this epoch.
fn behind(position: Option<Position>, epoch: u8) -> Lsn {
    let position = position.filter(|position| position.epoch() == epoch);
    position
        .map(Position::behind_commit)
        .unwrap_or_default()
        .lsn()
}

fn known_from(checkpoint: Checkpoint) -> Known {
    let epoch = checkpoint.source.epoch;
    let positions = checkpoint.sinks.values().chain(&checkpoint.received);
    let received = positions
        .map(|position| behind(Some(*position), epoch))
        .max();
    let received = received.unwrap_or_default();
    Known {
        position: Some(checkpoint.confirmed).filter(|lsn| *lsn > Lsn::ZERO),
        received,
        is_exact: checkpoint.received.is_some(),
        delivered: received.max(checkpoint.confirmed),
        identity: Some(checkpoint.source),
        reconnecting: false,
        stop_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_never_more_than_a_third_of_what_the_server_waits() {
        let seconds = Duration::from_secs;
        assert_eq!(status_interval(seconds(10), Some(seconds(60))), seconds(10));
        assert_eq!(status_interval(seconds(10), Some(seconds(15))), seconds(5));
        assert_eq!(status_interval(seconds(10), None), seconds(10), "it is off");
    }
}
