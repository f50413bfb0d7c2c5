//! What a source is doing: for health checks and metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use walgate_core::{PgMicros, Position};

/// What a source is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayState {
    /// Where to begin is not known yet, for this reason.
    Beginning {
        /// What it waits for.
        why: String,
    },
    /// It reads what was in the topic when it began.
    Filling,
    /// It has reached what was the end of the topic when it began.
    Live,
}

/// A source at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayStats {
    /// The topic that it reads.
    pub topic: String,
    /// What it is doing.
    pub state: GatewayState,
    /// Since when the brokers can't be reached, and what the last attempt has said.
    pub down: Option<(Instant, String)>,
    /// Everything up to here was taken; none before it is known where to begin.
    pub position: Option<Position>,
    /// The offset of the record that comes next; none before it is known where to begin.
    pub next_offset: Option<i64>,
    /// Records that were read, repeats included.
    pub records: u64,
    /// Records that were dropped, because they were taken before or brought again by a rewind.
    pub repeated: u64,
    /// Times that the brokers could be reached again.
    pub reconnects: u64,
    /// Records between what was read and the end that the topic had at the last look; none before it.
    pub behind: Option<u64>,
    /// Commit time of the last transaction that was read, by the database's clock.
    pub last_commit: Option<PgMicros>,
}

/// A shared look at a source. Cheap to clone and to read.
#[derive(Debug, Clone)]
pub struct GatewayMonitor(Arc<Mutex<GatewayStats>>);

impl GatewayMonitor {
    /// Of a source that will read this topic.
    pub fn new(topic: &str) -> Self {
        Self(Arc::new(Mutex::new(GatewayStats {
            topic: topic.to_owned(),
            state: GatewayState::Beginning {
                why: "it has not reached kafka yet".to_owned(),
            },
            down: None,
            position: None,
            next_offset: None,
            records: 0,
            repeated: 0,
            reconnects: 0,
            behind: None,
            last_commit: None,
        })))
    }

    /// How it is doing.
    pub fn stats(&self) -> GatewayStats {
        self.lock().clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut GatewayStats)) {
        change(&mut self.lock());
    }

    /// Where to begin is not known yet.
    pub(crate) fn waits(&self, why: &str) {
        self.change(|stats| {
            stats.state = GatewayState::Beginning {
                why: why.to_owned(),
            };
        });
    }

    /// The brokers can't be reached; says whether that is news.
    pub(crate) fn is_down(&self, why: &str) -> bool {
        let mut stats = self.lock();
        let since = stats.down.as_ref().map(|(since, _)| *since);
        stats.down = Some((since.unwrap_or_else(Instant::now), why.to_owned()));
        since.is_none()
    }

    /// The brokers can be reached; says since when they could not.
    pub(crate) fn is_up(&self) -> Option<Instant> {
        let mut stats = self.lock();
        let (since, _) = stats.down.take()?;
        stats.reconnects += 1;
        Some(since)
    }

    fn lock(&self) -> MutexGuard<'_, GatewayStats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
