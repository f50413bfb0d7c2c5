//! When Kafka counts as unreachable, and when that is said.

use std::time::{Duration, Instant};

/// Messages that wait this long without one report mean an outage, also when no connection broke:
/// a stopped broker, a cut cable. A healthy one answers within `request.timeout.ms`.
const SILENCE: Duration = Duration::from_secs(15);

/// An outage is said once in this time, so that a night of it is a page of log, not a disk.
const REPEAT: Duration = Duration::from_secs(30);

/// What was seen since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Signs {
    /// Messages wait for reports.
    pub(crate) waiting: bool,
    /// A message was delivered.
    pub(crate) delivered: bool,
    /// librdkafka says that every broker is down.
    pub(crate) all_down: bool,
    /// The statistics show a broker that is up.
    pub(crate) any_up: bool,
}

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Say {
    /// Unreachable for so long.
    Unreachable(Duration),
    /// Reachable again, after so long.
    Reachable(Duration),
}

/// Whether Kafka is away. Pure: the time is an argument.
#[derive(Debug)]
pub(crate) struct Outage {
    /// When something was last delivered, or nothing waited.
    quiet_until: Instant,
    since: Option<Instant>,
    said: Option<Instant>,
}

impl Outage {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            quiet_until: now,
            since: None,
            said: None,
        }
    }

    /// Since when it is away.
    pub(crate) const fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Takes what was seen since the last call.
    pub(crate) fn look(&mut self, now: Instant, signs: Signs) -> Option<Say> {
        let silent_since = self.quiet_until;
        if signs.delivered || !signs.waiting {
            self.quiet_until = now;
        }
        if let Some(since) = self.since {
            // Only a delivery proves that a broker does its work, when something waits for it.
            if signs.delivered || (signs.any_up && !signs.waiting) {
                self.since = None;
                return self.said.take().map(|_| Say::Reachable(now - since));
            }
        } else if signs.all_down && !signs.delivered {
            self.since = Some(now);
        } else if now.saturating_duration_since(self.quiet_until) >= SILENCE {
            self.since = Some(silent_since);
        }
        let since = self.since?;
        let due = self
            .said
            .is_none_or(|said| now.saturating_duration_since(said) >= REPEAT);
        due.then(|| {
            self.said = Some(now);
            Say::Unreachable(now - since)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING: Signs = Signs {
        waiting: true,
        delivered: false,
        all_down: false,
        any_up: false,
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn is_said_at_once_and_then_every_30_seconds() {
        let start = Instant::now();
        let mut outage = Outage::new(start);
        let down = Signs {
            all_down: true,
            ..WAITING
        };
        assert_eq!(
            outage.look(start + seconds(1), down),
            Some(Say::Unreachable(seconds(0)))
        );
        let mut said = Vec::new();
        for second in 2..=95 {
            if let Some(say) = outage.look(start + seconds(second), WAITING) {
                said.push((second, say));
            }
        }
        let expected = [31, 61, 91].map(|at| (at, Say::Unreachable(seconds(at - 1))));
        assert_eq!(said, expected);
        let back = Signs {
            delivered: true,
            ..WAITING
        };
        assert_eq!(
            outage.look(start + seconds(96), back),
            Some(Say::Reachable(seconds(95)))
        );
        assert_eq!(outage.look(start + seconds(97), WAITING), None);
    }

    #[test]
    fn silence_is_an_outage_too() {
        let start = Instant::now();
        let mut outage = Outage::new(start);
        assert_eq!(outage.look(start + seconds(14), WAITING), None);
        assert_eq!(
            outage.look(start + seconds(15), WAITING),
            Some(Say::Unreachable(seconds(15)))
        );
    }

    #[test]
    fn an_idle_sink_is_not_an_outage() {
        let start = Instant::now();
        let mut outage = Outage::new(start);
        for second in 0..1000 {
            assert_eq!(outage.look(start + seconds(second), Signs::default()), None);
        }
        assert_eq!(outage.look(start + seconds(1001), WAITING), None);
    }

    #[test]
    fn an_idle_sink_notices_that_brokers_are_back() {
        let start = Instant::now();
        let mut outage = Outage::new(start);
        let down = Signs {
            all_down: true,
            ..Signs::default()
        };
        assert!(outage.look(start, down).is_some());
        let up = Signs {
            any_up: true,
            ..Signs::default()
        };
        assert_eq!(
            outage.look(start + seconds(5), up),
            Some(Say::Reachable(seconds(5)))
        );
    }
}
