//! Whether the log that our slot holds back becomes less.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is held back now is compared with what was so long ago: within it lies more than one
/// confirmation, and more than one look.
const WITHIN: Duration = Duration::from_secs(60);

/// What our slot held back at the last looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Retained(VecDeque<(Instant, u64)>);

impl Retained {
    /// Takes what is held back at `now`, and returns whether that is less than it was. What is not
    /// known falls not.
    pub(super) fn falls(&mut self, now: Instant, bytes: Option<u64>) -> bool {
        let Some(bytes) = bytes else {
            self.0.clear();
            return false;
        };
        if self.0.back().is_none_or(|(last, _)| *last < now) {
            self.0.push_back((now, bytes));
        }
        // The first that stays is the last one that is old enough.
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= WITHIN;
        while self.0.get(1).is_some_and(|(at, _)| is_old(at)) {
            self.0.pop_front();
        }
        self.0.front().is_some_and(|(_, before)| bytes < *before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_when_it_is_less_than_a_minute_ago() {
        let (mut retained, begin) = (Retained::default(), Instant::now());
        let mut at = |seconds, bytes| retained.falls(begin + Duration::from_secs(seconds), bytes);
        assert!(!at(0, Some(100)), "once seen");
        assert!(!at(5, Some(110)));
        assert!(
            !at(10, Some(105)),
            "less than at the last look, not than before"
        );
        assert!(at(15, Some(90)));
        assert!(at(75, Some(80)));
        assert!(!at(140, Some(80)), "it stands still for a minute");
        assert!(!at(145, None));
        assert!(!at(150, Some(1)), "what was before is not known any more");
    }
}
