//! What the status line shows, from the counters of the engine.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use walgate_pipeline::{SinkState, StatusHandle};
use walgate_replication::{SourceMonitor, SourceState};

use crate::status_line::Snapshot;

/// The rate is that of this last while: short enough to follow, long enough not to flicker.
const WINDOW: Duration = Duration::from_secs(3);

/// A look at the engine.
pub(crate) struct Progress {
    sinks: Vec<StatusHandle>,
    source: SourceMonitor,
    /// Events at earlier looks, oldest first.
    looks: VecDeque<(Instant, u64)>,
}

impl Progress {
    pub(crate) fn new(sinks: Vec<StatusHandle>, source: SourceMonitor) -> Self {
        Self {
            sinks,
            source,
            looks: VecDeque::new(),
        }
    }

    /// What there is to show at `now`.
    pub(crate) fn snapshot(&mut self, now: Instant) -> Snapshot {
        let sinks: Vec<_> = self.sinks.iter().map(StatusHandle::get).collect();
        // Every sink gets nearly the same changes: the furthest says how many there were.
        let changes = sinks
            .iter()
            .map(|sink| sink.events)
            .max()
            .unwrap_or_default();
        let counters = self.source.counters();
        let behind = sinks.iter().map(|sink| sink.confirmable).min();
        let behind = behind.filter(|confirmable| *confirmable < counters.received_lsn);
        let last_commit = sinks.iter().filter_map(|sink| sink.last_commit).min();
        let failing = sinks.iter().any(|sink| sink.state == SinkState::Retrying);
        Snapshot {
            state: if failing {
                "sink down"
            } else {
                state(&self.source.state())
            },
            changes,
            changes_per_second: self.rate(now, changes),
            lag_bytes: behind.map_or(Some(0), |confirmable| {
                counters
                    .received_lsn
                    .checked_sub(confirmable.0)
                    .map(|lsn| lsn.0)
            }),
            lag: behind
                .and(last_commit)
                .map(|commit| since(commit.unix_micros())),
            confirmed_lsn: Some(counters.confirmed_lsn),
        }
    }

    fn rate(&mut self, now: Instant, changes: u64) -> f64 {
        self.looks.push_back((now, changes));
        while self.looks.len() > 2
            && self
                .looks
                .get(1)
                .is_some_and(|(then, _)| now.duration_since(*then) >= WINDOW)
        {
            self.looks.pop_front();
        }
        let Some((then, before)) = self.looks.front() else {
            return 0.0;
        };
        let seconds = now.duration_since(*then).as_secs_f64();
        if seconds > 0.0 {
            changes.saturating_sub(*before) as f64 / seconds
        } else {
            0.0
        }
    }
}

const fn state(source: &SourceState) -> &'static str {
    match source {
        SourceState::Connecting => "connecting",
        SourceState::WaitingForSlot { .. } => "waiting for the slot",
        SourceState::Streaming { .. } => "streaming",
        SourceState::Down { .. } => "reconnecting",
        SourceState::Ended => "draining",
    }
}

/// How long ago the server's clock showed that time; nothing when its clock is ahead of ours.
fn since(unix_micros: i64) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let then = Duration::from_micros(u64::try_from(unix_micros).unwrap_or_default());
    now.saturating_sub(then)
}
