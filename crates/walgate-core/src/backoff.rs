//! How long to wait before the next attempt. Pure state.

use std::time::{Duration, Instant};

/// Bounds of the wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffOptions {
    /// Upper bound of the first wait.
    pub first: Duration,
    /// Upper bound of every wait.
    pub longest: Duration,
    /// Success for this long makes the next failure a first one.
    pub reset_after: Duration,
}

impl Default for BackoffOptions {
    /// 0.5 s, 30 s and 60 s: quick enough for a restart of a broker, slow enough not to be a part
    /// of its trouble.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            reset_after: Duration::from_secs(60),
        }
    }
}

/// Exponential back-off with full jitter.
#[derive(Debug)]
pub struct Backoff {
    options: BackoffOptions,
    attempt: u32,
    well_since: Option<Instant>,
}

impl Backoff {
    /// One that has not failed yet.
    pub fn new(options: BackoffOptions) -> Self {
        Self {
            options,
            attempt: 0,
            well_since: None,
        }
    }

    /// It works now.
    pub fn succeeded(&mut self, now: Instant) {
        self.well_since.get_or_insert(now);
    }

    /// It has failed. Returns how long to wait; `jitter` is a random number from 0 to 1.
    pub fn failed(&mut self, now: Instant, jitter: f64) -> Duration {
        let well = self.well_since.take();
        if well.is_some_and(|since| now.duration_since(since) >= self.options.reset_after) {
            self.attempt = 0;
        }
        let factor = 2u32.checked_pow(self.attempt).unwrap_or(u32::MAX);
        self.attempt = self.attempt.saturating_add(1);
        let ceiling = self
            .options
            .first
            .saturating_mul(factor)
            .min(self.options.longest);
        ceiling.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_is_spread_over_all_of_it() {
        let mut backoff = Backoff::new(BackoffOptions::default());
        let now = Instant::now();
        let waits: Vec<_> = (0..9)
            .map(|_| backoff.failed(now, 1.0).as_millis())
            .collect();
        assert_eq!(
            waits,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        assert_eq!(backoff.failed(now, 0.0), Duration::ZERO);
        assert_eq!(backoff.failed(now, 0.5).as_millis(), 15_000);
    }

    #[test]
    fn a_minute_of_success_makes_the_next_failure_a_first_one() {
        let mut backoff = Backoff::new(BackoffOptions::default());
        let start = Instant::now();
        backoff.failed(start, 1.0);
        backoff.failed(start, 1.0);
        backoff.succeeded(start);
        let soon = start + Duration::from_secs(59);
        assert_eq!(backoff.failed(soon, 1.0).as_millis(), 2000);
        backoff.succeeded(soon);
        backoff.succeeded(soon + Duration::from_secs(59));
        let late = soon + Duration::from_secs(60);
        assert_eq!(backoff.failed(late, 1.0).as_millis(), 500);
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff::new(BackoffOptions::default());
        let now = Instant::now();
        for _ in 0..100 {
            assert!(backoff.failed(now, 1.0) <= Duration::from_secs(30));
        }
    }
}
