//! How long to wait before a connection is made again.

use std::time::Duration;

/// The first wait at most: a deploy takes about as long.
const FIRST: Duration = Duration::from_millis(500);

/// The longest wait: a server that is back is found within it.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double, each cut by chance so that not all clients come back at once.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    failures: u32,
}

impl BackOff {
    /// A connection is good: the next failure is the first.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait now; `asked` is what the server has asked for at least. `chance` is from 0 to 1.
    pub(super) fn next(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = FIRST
            .saturating_mul(1_u32 << self.failures.min(6))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        wait.max(asked.unwrap_or_default().min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..8)
            .map(|_| back_off.next(None, 1.0).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
        assert_eq!(back_off.next(None, 0.0), Duration::from_secs(15));
        back_off.reset();
        assert_eq!(back_off.next(None, 0.0), Duration::from_millis(250));
        let asked = Some(Duration::from_secs(5));
        assert_eq!(back_off.next(asked, 0.5), Duration::from_secs(5));
        let asked = Some(Duration::from_secs(500));
        assert_eq!(back_off.next(asked, 0.5), LONGEST);
    }
}
