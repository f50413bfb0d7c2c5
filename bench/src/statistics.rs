//! Medians of paired ratios, and how sure they are.

use serde::{Deserialize, Serialize};

/// How sure an interval is meant to be.
const CONFIDENCE: f64 = 0.95;

/// A median and the interval that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Estimate {
    /// The median of the sample.
    pub(crate) median: f64,
    /// The true median lies at or above this, and at or below `high`, with 95 % confidence.
    pub(crate) low: f64,
    /// See `low`.
    pub(crate) high: f64,
}

impl Estimate {
    /// The median of `values` with its interval; none for an empty sample.
    ///
    /// The interval is the exact one of order statistics: it assumes nothing of how the values are
    /// spread, only that each round is as likely above the true median as below it. With fewer than six
    /// values no interval is as sure as 95 %; it is the whole range then.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let outside = outside(sorted.len());
        Some(Self {
            median: median(&sorted)?,
            low: *sorted.get(outside)?,
            high: *sorted.get(last - outside)?,
        })
    }

    /// Of the ratios of two figures of the same rounds.
    pub(crate) fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        Self::of(pairs.into_iter().map(|(one, other)| one / other))
    }
}

/// The middle of a sorted sample, between the two middle ones of an even number.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get((sorted.len() / 2).checked_sub(1)?)?;
    Some(f64::midpoint(lower, upper))
}

/// How many values at each end lie outside of the interval: the most for which the chance that the
/// median lies there too stays at what is left of [`CONFIDENCE`].
fn outside(count: usize) -> usize {
    // The number of values below the true median is binomial with p = 1/2.
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut tail = chance;
    let mut outside = 0;
    while outside < count / 2
        && 2.0 * (tail + chance * (count - outside) as f64 / (outside + 1) as f64)
            <= 1.0 - CONFIDENCE
    {
        chance *= (count - outside) as f64 / (outside + 1) as f64;
        tail += chance;
        outside += 1;
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_order_statistics() {
        // From tables of the binomial distribution: the largest tail of at most 2.5 %.
        for (count, expected) in [
            (1, 0),
            (5, 0),
            (7, 0),
            (8, 0),
            (9, 1),
            (11, 1),
            (12, 2),
            (20, 5),
            (30, 9),
        ] {
            assert_eq!(outside(count), expected, "{count} values");
        }
    }

    #[test]
    fn one_disturbed_round_moves_no_median() {
        let quiet = Estimate::of_ratios([(2.0, 1.0); 9]).expect("an estimate");
        let rounds = [(2.0, 1.0); 8].into_iter().chain([(20.0, 1.0)]);
        let disturbed = Estimate::of_ratios(rounds).expect("an estimate");
        assert_eq!(quiet, disturbed);
        assert_eq!(Estimate::of([]), None);
        let even = Estimate::of([1.0, 2.0, 3.0, 4.0]).expect("an estimate");
        assert!((even.median - 2.5).abs() < 1e-12);
        assert!((even.low - 1.0).abs() < 1e-12 && (even.high - 4.0).abs() < 1e-12);
    }
}
