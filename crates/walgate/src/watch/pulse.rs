//! Signs of life of our own loops.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The loops of a process that have to go round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse(Arc<Mutex<BTreeMap<&'static str, Beat>>>);

#[derive(Debug, Clone, Copy)]
struct Beat {
    last: Instant,
    /// Longer than this, and the loop is stuck.
    patience: Duration,
}

impl Pulse {
    /// The loop `name` goes round, and comes by again within `patience` if it is sound.
    pub(crate) fn beat(&self, name: &'static str, now: Instant, patience: Duration) {
        let last = now;
        self.lock().insert(name, Beat { last, patience });
    }

    /// The loop `name` has ended as it should.
    pub(crate) fn end(&self, name: &'static str) {
        self.lock().remove(name);
    }

    /// The loops that have not come by for longer than they may.
    pub(crate) fn stuck(&self, now: Instant) -> Vec<&'static str> {
        let beats = self.lock();
        let late = |beat: &Beat| now.saturating_duration_since(beat.last) > beat.patience;
        let stuck = beats.iter().filter(|(_, beat)| late(beat));
        stuck.map(|(name, _)| *name).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Beat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_late_is_named_until_it_comes_by_or_ends() {
        let (pulse, begin) = (Pulse::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        pulse.beat("engine", at(0), Duration::from_secs(10));
        pulse.beat("watch", at(0), Duration::from_secs(100));
        assert!(pulse.stuck(at(10)).is_empty());
        assert_eq!(pulse.stuck(at(11)), ["engine"]);
        assert_eq!(pulse.stuck(at(101)), ["engine", "watch"]);
        pulse.beat("engine", at(101), Duration::from_secs(10));
        pulse.end("watch");
        assert!(pulse.stuck(at(102)).is_empty());
        assert!(pulse.stuck(at(0)).is_empty(), "a time before");
    }
}
