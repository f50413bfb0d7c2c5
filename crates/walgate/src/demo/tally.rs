//! What was shown, counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;

/// Two digits are what a summary shows.
const SIGNIFICANT_DIGITS: u8 = 2;

/// The tally of a demo, filled by whoever prints.
pub(super) type SharedTally = Arc<Mutex<Tally>>;

/// The tally itself.
pub(super) fn locked(tally: &SharedTally) -> MutexGuard<'_, Tally> {
    // Counting does not panic; a poisoned count is still a count.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes by table and operation, and how long each was on its way.
#[derive(Debug)]
pub(super) struct Tally {
    changes: BTreeMap<(String, String), u64>,
    /// From commit to printed, in microseconds.
    latency: Option<Histogram<u64>>,
    /// The first and the last change.
    span: Option<(Instant, Instant)>,
    tombstones: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            changes: BTreeMap::new(),
            latency: Histogram::new(SIGNIFICANT_DIGITS).ok(),
            span: None,
            tombstones: 0,
        }
    }
}

impl Tally {
    /// A change was printed at `printed` and `now`, two clocks of one moment.
    pub(super) fn note(
        &mut self,
        (table, op): (&str, &str),
        committed: SystemTime,
        printed: SystemTime,
        now: Instant,
    ) {
        *self
            .changes
            .entry((table.to_owned(), op.to_owned()))
            .or_default() += 1;
        // The server runs on this machine, by the same clock.
        let latency = printed.duration_since(committed).unwrap_or_default();
        if let Some(histogram) = &mut self.latency {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            // It grows as it must; what it refuses would take years.
            histogram.record(micros).unwrap_or_default();
        }
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }

    /// A tombstone was read back from Kafka.
    pub(super) const fn note_tombstone(&mut self) {
        self.tombstones += 1;
    }

    /// Changes by operation and table, rate and latency, for people.
    pub(super) fn summary(&self) -> String {
        let total: u64 = self.changes.values().sum();
        let Some((first, last)) = self.span else {
            return "no changes\n".to_owned();
        };
        let seconds = last.duration_since(first).as_secs_f64();
        let mut text = format!("{total} changes in {seconds:.1} s");
        // Of less than a second there is no rate worth telling.
        if seconds >= 1.0 {
            #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
            let rate = total as f64 / seconds;
            text.push_str(&format!(", {rate:.1}/s"));
        }
        text.push('\n');
        for ((table, op), count) in &self.changes {
            text.push_str(&format!("  {table:<20} {op:<8} {count:>7}\n"));
        }
        if self.tombstones > 0 {
            let count = self.tombstones;
            text.push_str(&format!("  {:<20} {:<8} {count:>7}\n", "", "(tombstones)"));
        }
        if let Some(latency) = self.latency.as_ref().filter(|known| !known.is_empty()) {
            let at = |quantile| milliseconds(latency.value_at_quantile(quantile));
            text.push_str(&format!(
                "from commit to printed: p50 {}, p99 {}\n",
                at(0.5),
                at(0.99)
            ));
        }
        text
    }
}

fn milliseconds(micros: u64) -> String {
    let time = Duration::from_micros(micros).as_secs_f64() * 1000.0;
    format!("{time:.1} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_measures() {
        let mut tally = Tally::default();
        assert_eq!(tally.summary(), "no changes\n");
        let (begin, clock) = (Instant::now(), SystemTime::UNIX_EPOCH);
        for (n, op) in (1..).zip(["insert", "insert", "update", "delete"]) {
            let after = Duration::from_secs(n);
            let printed = clock + after + Duration::from_millis(2);
            tally.note(("maze.a", op), clock + after, printed, begin + after);
        }
        tally.note_tombstone();
        let summary = tally.summary();
        assert!(
            summary.starts_with("4 changes in 3.0 s, 1.3/s\n"),
            "{summary}"
        );
        assert!(
            summary.contains("maze.a               insert         2\n"),
            "{summary}"
        );
        assert!(summary.contains("(tombstones)       1\n"), "{summary}");
        assert!(summary.ends_with("p50 2.0 ms, p99 2.0 ms\n"), "{summary}");
    }

    #[test]
    fn a_clock_that_went_back_is_no_panic() {
        let mut tally = Tally::default();
        let clock = SystemTime::UNIX_EPOCH;
        let later = clock + Duration::from_secs(1);
        tally.note(("t", "insert"), later, clock, Instant::now());
        assert!(tally.summary().contains("p50 0.0 ms"));
    }
}
