//! How a chain is doing: for the status line, the metrics and the confirmation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use walgate_core::{Downtime, Lsn, PgMicros, Position};

pub use walgate_journal::Demand;

/// What a chain is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SinkState {
    /// It has not been opened yet.
    #[default]
    Starting,
    /// It delivers, or waits for something to deliver.
    Running,
    /// It has failed and is tried again, or its destination takes nothing.
    Retrying,
    /// It has delivered everything that it was to deliver.
    Ended,
    /// It can't go on.
    Failed,
}

impl SinkState {
    /// The name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// How a chain is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// The sink's name.
    pub name: String,
    /// Whether the slot waits for it.
    pub demand: Demand,
    /// What it is doing.
    pub state: SinkState,
    /// Since when.
    pub since: Instant,
    /// Events that the sink has accepted; what is repeated counts again.
    pub events: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Events that went to the dead letters.
    pub dead_letters: u64,
    /// Gaps that it was told of and that are its own: it was released, it fell behind, or what the
    /// journal kept for it is damaged. Those of the source are not counted here.
    pub gaps: u64,
    /// Attempts that have failed.
    pub failures: u64,
    /// The last of their errors.
    pub last_error: Option<String>,
    /// The last event that it holds durably.
    pub delivered: Position,
    /// Everything that commits below this LSN is delivered.
    pub confirmable: Lsn,
    /// When the last transaction that it was handed was committed, by the server's clock.
    pub last_commit: Option<PgMicros>,
    /// Where it is, in whole transactions.
    pub(crate) whole: Position,
    /// Where it is, exactly.
    pub(crate) exact: Position,
    /// The last event that it was ever handed.
    pub(crate) handed: Position,
}

impl SinkStatus {
    /// Of a sink that was not opened yet.
    pub fn starting(name: &str, demand: Demand) -> Self {
        Self {
            name: name.to_owned(),
            demand,
            state: SinkState::Starting,
            since: Instant::now(),
            events: 0,
            bytes: 0,
            dead_letters: 0,
            gaps: 0,
            failures: 0,
            last_error: None,
            delivered: Position::ZERO,
            confirmable: Lsn::ZERO,
            last_commit: None,
            whole: Position::ZERO,
            exact: Position::ZERO,
            handed: Position::ZERO,
        }
    }

    pub(crate) fn enter(&mut self, state: SinkState) {
        if self.state != state {
            self.state = state;
            self.since = Instant::now();
        }
    }
}

/// A chain's status, shared with whoever looks at it.
#[derive(Debug, Clone)]
pub struct StatusHandle {
    own: Arc<Mutex<SinkStatus>>,
    downtime: Downtime,
    /// That of the chain for which this one gives its sink everything again.
    stands_for: Option<Arc<Mutex<SinkStatus>>>,
}

impl StatusHandle {
    pub(crate) fn new(name: &str, demand: Demand) -> Self {
        Self {
            own: Arc::new(Mutex::new(SinkStatus::starting(name, demand))),
            downtime: Downtime::default(),
            stands_for: None,
        }
    }

    /// Of a sink that waits outages out: it runs, and its destination may be down.
    pub(crate) fn minding(self, downtime: Downtime) -> Self {
        Self { downtime, ..self }
    }

    /// Of a chain that stands for this one: how it does is seen here, how far it is is not.
    pub(crate) fn again(&self) -> Self {
        let status = self.get();
        Self {
            stands_for: Some(Arc::clone(&self.own)),
            ..Self::new(&status.name, Demand::Required)
        }
    }

    /// How it is doing now.
    pub fn get(&self) -> SinkStatus {
        let mut status = lock(&self.own).clone();
        if status.state == SinkState::Running
            && let Some(since) = self.downtime.since()
        {
            status.state = SinkState::Retrying;
            status.since = since;
        }
        status
    }

    /// How far it is.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut SinkStatus) -> T) -> T {
        change(&mut lock(&self.own))
    }

    /// How it does.
    pub(crate) fn show(&self, change: impl Fn(&mut SinkStatus)) {
        change(&mut lock(&self.own));
        if let Some(other) = &self.stands_for {
            change(&mut lock(other));
        }
    }
}

fn lock(status: &Mutex<SinkStatus>) -> MutexGuard<'_, SinkStatus> {
    // Nothing panics while the lock is held; a poisoned status is still a status.
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the one who confirms when a chain has moved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moved(Arc<Notify>);

impl Moved {
    pub(crate) fn tell(&self) {
        self.0.notify_one();
    }

    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_waits_out_an_outage_is_down() {
        let downtime = Downtime::default();
        let handle = StatusHandle::new("kafka", Demand::Required).minding(downtime.clone());
        downtime.set(Some(Instant::now()));
        assert_eq!(handle.get().state, SinkState::Starting, "it was never up");
        handle.update(|status| status.enter(SinkState::Running));
        assert_eq!(handle.get().state, SinkState::Retrying);
        assert_eq!(Some(handle.get().since), downtime.since());
        downtime.set(None);
        assert_eq!(handle.get().state, SinkState::Running);
    }
}
