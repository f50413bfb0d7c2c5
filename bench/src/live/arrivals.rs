//! Which rows have come, and how old they were.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

/// Digits that tell a value of a latency from the next one.
const DIGITS: u8 = 3;

/// An hour: what is older counts as that.
const OLDEST_US: u64 = 3_600_000_000;

/// The rows of one load: numbered from 1 on, each with the time at which it was due. Rows with the number 0
/// are asked for until the first comes, and don't count.
pub(crate) struct Arrivals(Mutex<State>);

struct State {
    /// By number.
    seen: Vec<bool>,
    rows: u64,
    probes: u64,
    /// Whether a row may come again, as after a kill.
    may_repeat: bool,
    repeated: u64,
    /// What was due before this does not count as an age, in microseconds since 1970.
    counts_from_us: u64,
    /// From when a row was due to its arrival, in microseconds.
    ages: Histogram<u64>,
    last_us: u64,
    wrong: Option<String>,
}

/// How old rows were when they came, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ages {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
}

impl Arrivals {
    /// For so many rows.
    pub(crate) fn new(rows: u64) -> Result<Self> {
        Ok(Self(Mutex::new(State {
            seen: vec![false; usize::try_from(rows)? + 1],
            rows: 0,
            probes: 0,
            may_repeat: false,
            repeated: 0,
            counts_from_us: 0,
            ages: Histogram::new_with_bounds(1, OLDEST_US, DIGITS)?,
            last_us: 0,
            wrong: None,
        })))
    }

    /// A row that comes again is counted, and is no error.
    pub(crate) fn that_may_repeat(self) -> Self {
        self.state().may_repeat = true;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event has come; what has no number is none of a row.
    pub(crate) fn came(&self, event: &[u8], now_us: u64) {
        let Some(number) = number(event, b"\"seq\":") else {
            return;
        };
        let due_us = number_of_due(event);
        let mut state = self.state();
        if number == 0 {
            state.probes += 1;
            return;
        }
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        match state.seen.get(place).copied() {
            None => state.wrong = Some(format!("row {number} was never written")),
            Some(true) if state.may_repeat => {
                state.repeated += 1;
                return;
            }
            Some(true) => state.wrong = Some(format!("row {number} has come twice")),
            Some(false) => {}
        }
        if let Some(seen) = state.seen.get_mut(place) {
            *seen = true;
        }
        state.rows += 1;
        state.last_us = now_us;
        if due_us >= state.counts_from_us {
            let age_us = now_us.saturating_sub(due_us).max(1);
            state.ages.saturating_record(age_us);
        }
    }

    /// Whether anything has come.
    pub(crate) fn has_begun(&self) -> bool {
        let state = self.state();
        state.probes > 0 || state.rows > 0
    }

    /// Only the ages of rows that are due from here on count.
    pub(crate) fn count_from(&self, us: u64) {
        self.state().counts_from_us = us;
    }

    /// Rows that have come.
    pub(crate) fn rows(&self) -> u64 {
        self.state().rows
    }

    /// How often a row has come again.
    pub(crate) fn repeated(&self) -> u64 {
        self.state().repeated
    }

    /// When the last row came, in microseconds since 1970.
    pub(crate) fn last_us(&self) -> u64 {
        self.state().last_us
    }

    /// How old rows were when they came.
    pub(crate) fn ages(&self) -> Ages {
        let state = self.state();
        Ages {
            p50_us: state.ages.value_at_quantile(0.5),
            p99_us: state.ages.value_at_quantile(0.99),
            p999_us: state.ages.value_at_quantile(0.999),
            max_us: state.ages.max(),
        }
    }

    /// Fails when a row has come twice, or one that was never written.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = self.state().wrong.clone();
        ensure!(wrong.is_none(), "{}", wrong.unwrap_or_default());
        Ok(())
    }
}

fn number_of_due(event: &[u8]) -> u64 {
    number(event, b"\"due\":").unwrap_or_default()
}

/// The number behind the first such name; 64-bit numbers may be strings.
pub(crate) fn number(event: &[u8], name: &[u8]) -> Option<u64> {
    let place = event.windows(name.len()).position(|part| part == name)?;
    digits(event.get(place + name.len()..)?)
}

/// The number behind the last such name: the row's, where the event has one of the same name.
pub(crate) fn last_number(event: &[u8], name: &[u8]) -> Option<u64> {
    let place = event.windows(name.len()).rposition(|part| part == name)?;
    digits(event.get(place + name.len()..)?)
}

fn digits(value: &[u8]) -> Option<u64> {
    let digits = value
        .iter()
        .skip_while(|byte| matches!(byte, b' ' | b'"'))
        .take_while(|byte| byte.is_ascii_digit());
    let mut number = None;
    for digit in digits {
        let so_far = number.unwrap_or(0_u64).checked_mul(10)?;
        number = Some(so_far.checked_add(u64::from(digit - b'0'))?);
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, due: u64) -> Vec<u8> {
        format!(r#"{{"id":"00","after":{{"seq":"{seq}","due": {due},"x":1}}}}"#).into_bytes()
    }

    #[test]
    fn the_age_is_from_when_a_row_was_due_and_probes_have_none() {
        let arrivals = Arrivals::new(2).expect("arrivals");
        arrivals.came(br#"{"type":"ready"}"#, 5);
        assert!(!arrivals.has_begun());
        arrivals.came(&event(0, 0), 1_000_000);
        assert!(arrivals.has_begun());
        arrivals.count_from(100);
        // The first one is of the warm-up.
        arrivals.came(&event(2, 99), 90_000);
        arrivals.came(&event(1, 100), 600);
        assert_eq!((arrivals.rows(), arrivals.last_us()), (2, 600));
        assert_eq!((arrivals.ages().p50_us, arrivals.ages().max_us), (500, 500));
        arrivals.check().expect("each once");
    }

    #[test]
    fn a_row_that_comes_twice_and_one_that_nobody_wrote_are_wrong() {
        let twice = Arrivals::new(2).expect("arrivals");
        twice.came(&event(1, 0), 1);
        twice.came(&event(1, 0), 2);
        assert!(twice.check().is_err());
        let allowed = Arrivals::new(2).expect("arrivals").that_may_repeat();
        allowed.came(&event(1, 0), 1);
        allowed.came(&event(1, 0), 2);
        assert_eq!((allowed.rows(), allowed.repeated()), (1, 1));
        allowed.check().expect("a row may come again");
        let stranger = Arrivals::new(2).expect("arrivals");
        stranger.came(&event(3, 0), 1);
        assert!(stranger.check().is_err());
    }
}
