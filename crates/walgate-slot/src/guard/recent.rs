//! What has happened lately, from counters that only grow.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How far back "lately" goes for things that happen and are over: lost changes, dead letters.
const HOUR: Duration = Duration::from_secs(3600);

/// How far back the error rate looks.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// Samples that are kept of one counter: more often is not worth more memory.
const MOST_SAMPLES: u32 = 120;

/// How much a counter has grown within a time.
#[derive(Debug, Clone)]
struct Recent {
    samples: VecDeque<(Instant, u64)>,
    window: Duration,
}

impl Recent {
    const fn new(window: Duration) -> Self {
        Self {
            samples: VecDeque::new(),
            window,
        }
    }

    /// Takes the counter's value, and returns how much it has grown within the window. A counter that
    /// fell was started anew.
    fn grown(&mut self, now: Instant, value: u64) -> u64 {
        if self.samples.back().is_some_and(|(_, last)| value < *last) {
            self.samples.clear();
            self.samples.push_back((now, 0));
        }
        let spacing = self.window / MOST_SAMPLES;
        let due = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= spacing;
        if self.samples.back().is_none_or(due) {
            self.samples.push_back((now, value));
        }
        // The first sample that is kept lies before the window, or is the first of all.
        while let Some((at, _)) = self.samples.get(1)
            && now.saturating_duration_since(*at) >= self.window
        {
            self.samples.pop_front();
        }
        let first = self.samples.front().map_or(value, |(_, first)| *first);
        value.saturating_sub(first)
    }
}

/// Which of the looks of the last five minutes have found a new failure.
#[derive(Debug, Clone)]
struct Failing {
    failures: Option<u64>,
    looks: Recent,
    failed: Recent,
    counts: (u64, u64),
}

/// A share of fewer looks says nothing.
const LEAST_LOOKS: u64 = 10;

impl Failing {
    const fn new() -> Self {
        Self {
            failures: None,
            looks: Recent::new(FIVE_MINUTES),
            failed: Recent::new(FIVE_MINUTES),
            counts: (0, 0),
        }
    }

    fn percent(&mut self, now: Instant, failures: u64) -> Option<f64> {
        let before = self.failures.replace(failures);
        let (looks, failed) = &mut self.counts;
        *looks += 1;
        *failed += u64::from(before.is_some_and(|before| failures > before));
        let (looks, failed) = (
            self.looks.grown(now, *looks),
            self.failed.grown(now, *failed),
        );
        #[expect(clippy::cast_precision_loss, reason = "a share of few looks")]
        let percent = failed as f64 * 100.0 / looks as f64;
        (looks >= LEAST_LOOKS).then_some(percent)
    }
}

/// Everything that is counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Recents {
    gaps: BTreeMap<String, Recent>,
    dead_letters: BTreeMap<String, Recent>,
    failing: BTreeMap<String, Failing>,
}

impl Recents {
    /// Gaps of a sink, or of the source, within an hour.
    pub(super) fn gaps(&mut self, of: &str, now: Instant, total: u64) -> u64 {
        // A gap of the start counts: nobody has heard of it before.
        let recent = self.gaps.entry(of.to_owned());
        let recent = recent.or_insert_with(|| {
            let mut recent = Recent::new(HOUR);
            recent.samples.push_back((now, 0));
            recent
        });
        recent.grown(now, total)
    }

    /// Dead letters of a sink within an hour.
    pub(super) fn dead_letters(&mut self, sink: &str, now: Instant, total: u64) -> u64 {
        let recent = self.dead_letters.entry(sink.to_owned());
        let recent = recent.or_insert_with(|| {
            let mut recent = Recent::new(HOUR);
            recent.samples.push_back((now, 0));
            recent
        });
        recent.grown(now, total)
    }

    /// The share of the looks of the last five minutes before which an attempt of a sink has failed,
    /// in percent; none before there were enough.
    pub(super) fn failing(&mut self, sink: &str, now: Instant, failures: u64) -> Option<f64> {
        let failing = self.failing.entry(sink.to_owned());
        failing.or_insert_with(Failing::new).percent(now, failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_an_hour_ago_is_over_and_a_counter_may_begin_anew() {
        let start = Instant::now();
        let mut recents = Recents::default();
        let mut grown = Vec::new();
        for minute in 0..=95_u64 {
            let now = start + Duration::from_secs(minute * 60);
            // One at the start, one after half an hour, and another process at the end.
            let total = if (30..95).contains(&minute) { 2 } else { 1 };
            grown.push(recents.gaps("walgate", now, total));
        }
        let at = |minute: usize| grown.get(minute).copied();
        assert_eq!(at(0), Some(1), "of the start");
        assert_eq!((at(30), at(58)), (Some(2), Some(2)));
        assert_eq!((at(62), at(85), at(92)), (Some(1), Some(1), Some(0)));
        assert_eq!(at(95), Some(1), "another process");
        let kept: usize = recents
            .gaps
            .values()
            .map(|recent| recent.samples.len())
            .sum();
        assert!(kept < 200, "{kept}");
    }

    #[test]
    fn a_rate_is_of_looks_and_needs_some() {
        let start = Instant::now();
        let mut recents = Recents::default();
        let mut failures = 0;
        let mut seen = None;
        for look in 0..60_u64 {
            failures += u64::from(look % 10 == 9);
            let now = start + Duration::from_secs(look * 5);
            seen = recents.failing("out", now, failures);
            assert_eq!(seen.is_none(), look < LEAST_LOOKS, "look {look}");
        }
        assert!(
            seen.is_some_and(|seen| (9.0..12.0).contains(&seen)),
            "{seen:?}"
        );
    }
}
