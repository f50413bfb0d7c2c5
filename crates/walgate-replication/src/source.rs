//! The source: one connection after the other, and what is kept between them.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{
    Backoff, BackoffOptions, Checkpoint, Failure, Feed, Gap, Lsn, Oid, Position, Relation, Source,
    SourceIdentity, Watermark,
};
use walgate_pgoutput::Dialect;

use crate::buffer::ReadBuffer;
use crate::companion::Companion;
use crate::config::SourceConfig;
use crate::feedback::Feedback;
use crate::monitor::{SourceMonitor, SourceState};
use crate::outage::{Next, Outage};
use crate::reporter::Reporter;
use crate::sequencer::Sequencer;
use crate::session::{Handed, Parts, Session};
use crate::start::{self, Known, Opened};
use crate::trouble::Trouble;

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
    /// What a human should know and need not act upon.
    pub warnings: Vec<String>,
    /// Where the source will stop, when it was asked to.
    pub stop_at: Option<Lsn>,
}

/// PostgreSQL's log through a logical replication slot. It reconnects by itself.
pub struct PostgresSource {
    config: Arc<SourceConfig>,
    confirmed: Watermark<Lsn>,
    monitor: SourceMonitor,
    known: Known,
    relations: HashMap<Oid, Arc<Relation>>,
    backoff: Backoff,
    outage: Outage,
    phase: Phase,
    gap: Option<Gap>,
    slot_wait: Duration,
}

enum Phase {
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Trouble>> + Send>>),
    Pausing(Instant),
    Streaming(Box<Session>),
    /// The position to stop at is reached; confirmations still go to the server.
    Stopped(Box<Session>),
    Closed,
}

/// How long a dead connection of our own may go on holding the slot: the server finds out after
/// `wal_sender_timeout`, and this much later at the latest.
const SLOT_GRACE: Duration = Duration::from_secs(15);
/// PostgreSQL's default `wal_sender_timeout`.
const DEFAULT_SENDER_TIMEOUT: Duration = Duration::from_secs(60);

/// This session's protocol: version 1 without streaming of transactions in progress.
const DIALECT: Dialect = Dialect {
    version: walgate_pgoutput::ProtocolVersion::V1,
    streaming: walgate_pgoutput::Streaming::Off,
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
            known.delivered = Lsn::ZERO;
        }
        let held = config.held.filter(|held| held.epoch() == config.epoch);
        known.delivered = known
            .delivered
            .max(held.map(Position::lsn).unwrap_or_default());
        let patient = config.wait_at_start;
        let mut source = Self {
            config: Arc::new(config),
            confirmed,
            monitor: SourceMonitor::new(),
            known,
            relations: HashMap::new(),
            backoff: Backoff::new(BackoffOptions::default()),
            outage: Outage::new(patient),
            phase: Phase::Pausing(Instant::now()),
            gap: None,
            slot_wait: DEFAULT_SENDER_TIMEOUT + SLOT_GRACE,
        };
        loop {
            if let Some((server_version, warnings, resume)) = source.step().await? {
                let identity = source.known.identity.clone();
                let Some(identity) = identity else { continue };
                let stop_at = source.known.stop_at.map(|stop| stop.lsn);
                return Ok(Started {
                    source,
                    identity,
                    resume,
                    server_version,
                    warnings,
                    stop_at,
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
    async fn step(&mut self) -> Result<Option<(String, Vec<String>, Lsn)>, Failure> {
        match &mut self.phase {
            Phase::Pausing(until) => {
                tokio::time::sleep_until((*until).into()).await;
                let open = start::open(Arc::clone(&self.config), self.known.clone(), DIALECT);
                self.phase = Phase::Opening(Box::pin(open));
            }
            Phase::Opening(opening) => match opening.await {
                Ok(opened) => return self.opened(opened),
                Err(trouble) => self.failed(trouble)?,
            },
            Phase::Streaming(_) | Phase::Stopped(_) | Phase::Closed => {}
        }
        Ok(None)
    }

    fn opened(&mut self, opened: Opened) -> Result<Option<(String, Vec<String>, Lsn)>, Failure> {
        let now = Instant::now();
        let Opened {
            stream,
            sql,
            server,
            identity,
            start,
            confirmed,
            gap,
            warnings,
            stop_at,
        } = opened;
        let pid = Some(stream.backend_pid()).filter(|pid| *pid > 0);
        let low_water = stream.is_tcp() && stream.tls().is_none() && cfg!(target_os = "linux");
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
        let companion = Companion::start(Arc::clone(&self.config), sql, pid, shared);
        let relations = std::mem::take(&mut self.relations);
        let sequencer =
            Sequencer::new(DIALECT, self.config.epoch, start, stop_at).with_known(relations);
        let max_row = self
            .config
            .max_row
            .clamp(1 << 16, SourceConfig::MAX_ROW_LIMIT);
        let buffer = ReadBuffer::new(self.config.read_buffer.max(1 << 12), max_row);
        let parts = Parts {
            read,
            buffer,
            sequencer,
            reporter,
            companion,
            low_water,
            monitor: self.monitor.clone(),
            max_row,
        };
        self.phase = Phase::Streaming(Box::new(Session::new(parts)));
        self.monitor.wal_sender(pid);
        self.monitor.enter(SourceState::Streaming { since: now });
        self.backoff.succeeded(now);
        if self.known.reconnecting {
            self.monitor.reconnected();
        }
        self.outage.over(now, start, self.known.reconnecting);
        for warning in warnings.iter().filter(|_| self.known.reconnecting) {
            tracing::warn!(slot = %self.config.slot.name, "{warning}");
        }
        self.gap = gap;
        self.known.identity = Some(identity);
        self.known.position = Some(start);
        self.known.delivered = self.known.delivered.max(start);
        self.known.stop_at = stop_at;
        self.known.reconnecting = true;
        Ok(Some((server.version, warnings, start)))
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
        if let Phase::Streaming(session) = &mut self.phase {
            let sequencer = session.sequencer();
            let resume = sequencer.resume();
            self.relations = sequencer.take_known();
            self.known.position = Some(resume);
            self.known.delivered = self.known.delivered.max(sequencer.reached());
        }
        // Closes the socket, so that the server lets go of the slot.
        self.phase = Phase::Closed;
        self.failed(trouble)
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
            if let Some(gap) = self.gap.take() {
                tracing::warn!(slot = %self.config.slot.name, from = %gap.from, to = %gap.to, reason = %gap.reason, "changes are lost");
                return Ok(Feed::Gap(gap));
            }
            match &mut self.phase {
                Phase::Streaming(session) => match session.next().await {
                    Ok(Handed::Frames(frames)) => return Ok(Feed::Frames(frames)),
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
                Phase::Opening(_) | Phase::Pausing(_) => {
                    self.step().await?;
                }
            }
        }
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

fn known_from(checkpoint: Checkpoint) -> Known {
    let epoch = checkpoint.source.epoch;
    let delivered = checkpoint
        .sinks
        .values()
        .filter(|position| position.epoch() == epoch)
        .map(|position| position.lsn())
        .max();
    Known {
        position: Some(checkpoint.confirmed).filter(|lsn| *lsn > Lsn::ZERO),
        delivered: delivered.unwrap_or_default().max(checkpoint.confirmed),
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
