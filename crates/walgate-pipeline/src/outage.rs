//! What is said about a sink that is down: one line for each change of state, and a summary from
//! time to time. Pure state.

use std::time::Duration;

use tokio::time::Instant;

/// Time between summaries while a sink is down.
const SUMMARY_EVERY: Duration = Duration::from_secs(30);

/// What is to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It has just gone down.
    Down,
    /// It is still down.
    StillDown {
        /// Attempts since it went down.
        attempts: u64,
        /// Time since it went down.
        lasted: Duration,
    },
    /// It works again.
    Back {
        /// Attempts since it went down.
        attempts: u64,
        /// Time since it went down.
        lasted: Duration,
    },
}

/// Whether a sink is down, and what was said about it.
#[derive(Debug, Default)]
pub(crate) struct Outage(Option<Down>);

#[derive(Debug)]
struct Down {
    since: Instant,
    said: Instant,
    attempts: u64,
}

impl Outage {
    pub(crate) fn is_down(&self) -> bool {
        self.0.is_some()
    }

    /// An attempt has failed.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Notice> {
        let Some(down) = &mut self.0 else {
            self.0 = Some(Down {
                since: now,
                said: now,
                attempts: 1,
            });
            return Some(Notice::Down);
        };
        down.attempts += 1;
        if now.duration_since(down.said) < SUMMARY_EVERY {
            return None;
        }
        down.said = now;
        Some(Notice::StillDown {
            attempts: down.attempts,
            lasted: now.duration_since(down.since),
        })
    }

    /// It has delivered something, or has nothing to deliver.
    pub(crate) fn recovered(&mut self, now: Instant) -> Option<Notice> {
        let down = self.0.take()?;
        Some(Notice::Back {
            attempts: down.attempts,
            lasted: now.duration_since(down.since),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_for_each_change_and_a_summary_every_30_seconds() {
        let mut outage = Outage::default();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        assert_eq!(outage.recovered(at(0)), None);
        assert_eq!(outage.failed(at(1)), Some(Notice::Down));
        assert_eq!(outage.failed(at(2)), None);
        assert_eq!(outage.failed(at(30)), None);
        let lasted = Duration::from_secs(30);
        assert_eq!(
            outage.failed(at(31)),
            Some(Notice::StillDown {
                attempts: 4,
                lasted
            })
        );
        assert_eq!(outage.failed(at(59)), None);
        let lasted = Duration::from_secs(61);
        assert_eq!(
            outage.recovered(at(62)),
            Some(Notice::Back {
                attempts: 5,
                lasted
            })
        );
        assert_eq!(outage.failed(at(63)), Some(Notice::Down));
    }
}
