//! How long to wait before the next attempt.

use std::time::{Duration, Instant};

/// The first ceiling: short enough that a restarted walsender costs nothing.
const FIRST: Duration = Duration::from_millis(500);
/// The last ceiling: a server that has been away for hours is found within half a minute, and a
/// thousand clients of one server still ask it only thirty times a second.
const LAST: Duration = Duration::from_secs(30);
/// A connection that lasted this long was a good one; whatever comes next is a new trouble.
const HEALTHY: Duration = Duration::from_secs(60);

/// Exponential back-off with full jitter: each wait is drawn evenly from zero to a ceiling that
/// doubles from 0.5 s to 30 s. Only a minute of streaming starts it anew, so a connection that is
/// accepted and thrown out again does not.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
    random: u64,
    streaming_since: Option<Instant>,
}

impl Backoff {
    /// With a given seed, so that a run can be repeated.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            attempt: 0,
            random: seed,
            streaming_since: None,
        }
    }

    /// Streaming has begun.
    pub(crate) fn streaming(&mut self, now: Instant) {
        self.streaming_since.get_or_insert(now);
    }

    /// The connection is gone or an attempt has failed: how long to wait.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        let streamed = self.streaming_since.take();
        if streamed.is_some_and(|since| now.saturating_duration_since(since) >= HEALTHY) {
            self.attempt = 0;
        }
        let ceiling = FIRST.saturating_mul(1 << self.attempt.min(16)).min(LAST);
        self.attempt = self.attempt.saturating_add(1);
        ceiling.mul_f64(self.fraction())
    }

    /// Evenly from 0 to 1 (splitmix64: any seed will do, and nothing here is a secret).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_from_ceilings_that_double_up_to_thirty_seconds() {
        let now = Instant::now();
        let mut highest = [Duration::ZERO; 10];
        for seed in 0..500 {
            let mut backoff = Backoff::new(seed);
            for (attempt, highest) in highest.iter_mut().enumerate() {
                let delay = backoff.failed(now);
                let ceiling = Duration::from_millis((500 << attempt).min(30_000));
                assert!(delay <= ceiling, "attempt {attempt}: {delay:?}");
                *highest = (*highest).max(delay);
            }
        }
        // Full jitter: over many seeds the ceiling is nearly reached.
        for (attempt, highest) in highest.iter().enumerate() {
            let ceiling = Duration::from_millis((500 << attempt).min(30_000));
            assert!(
                *highest > ceiling.mul_f64(0.95),
                "attempt {attempt}: {highest:?}"
            );
        }
    }

    #[test]
    fn only_a_minute_of_streaming_starts_anew() {
        let start = Instant::now();
        let mut backoff = Backoff::new(7);
        for _ in 0..8 {
            backoff.failed(start);
        }
        backoff.streaming(start);
        backoff.failed(start + Duration::from_secs(59));
        assert_eq!(backoff.attempt, 9);
        backoff.streaming(start + Duration::from_secs(60));
        let delay = backoff.failed(start + Duration::from_secs(120));
        assert_eq!(backoff.attempt, 1);
        assert!(delay <= FIRST);
    }

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let now = Instant::now();
        let (mut one, mut other) = (Backoff::new(42), Backoff::new(42));
        for _ in 0..20 {
            assert_eq!(one.failed(now), other.failed(now));
        }
    }
}
