//! Points in time with a number, in bounded memory: close together for the last minutes, one a
//! minute before that.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Every point is kept for so long.
const FINE: Duration = Duration::from_secs(120);

/// Points that follow faster than this replace each other: it bounds their number.
const LEAST_DISTANCE: Duration = Duration::from_millis(500);

/// The distance of the points that are kept for long.
const COARSE_DISTANCE: Duration = Duration::from_secs(60);

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point<T> {
    pub(crate) at: Instant,
    pub(crate) value: T,
}

/// Points in the order of time.
#[derive(Debug, Clone)]
pub(crate) struct Track<T> {
    fine: VecDeque<Point<T>>,
    coarse: VecDeque<Point<T>>,
    /// How long a point is kept at least.
    keep: Duration,
}

impl<T: Copy> Track<T> {
    pub(crate) const fn new(keep: Duration) -> Self {
        Self {
            fine: VecDeque::new(),
            coarse: VecDeque::new(),
            keep,
        }
    }

    /// Adds a point. One that is not later than the last is dropped.
    pub(crate) fn push(&mut self, at: Instant, value: T) {
        let point = Point { at, value };
        if self.fine.back().is_some_and(|last| last.at >= at) {
            return;
        }
        let before = self.fine.iter().rev().nth(1);
        if before.is_some_and(|before| at.duration_since(before.at) < LEAST_DISTANCE * 2)
            && let Some(last) = self.fine.back_mut()
        {
            *last = point;
        } else {
            self.fine.push_back(point);
        }
        let due = |last: &Point<T>| at.duration_since(last.at) >= COARSE_DISTANCE;
        if self.coarse.back().is_none_or(due) {
            self.coarse.push_back(point);
        }
        trim(&mut self.fine, at, FINE);
        trim(&mut self.coarse, at, self.keep + COARSE_DISTANCE);
    }

    /// All points, oldest first, each once.
    pub(crate) fn points(&self) -> impl DoubleEndedIterator<Item = Point<T>> + Clone + '_ {
        let fine_from = self.fine.front().map(|point| point.at);
        let older = move |point: &&Point<T>| fine_from.is_none_or(|from| point.at < from);
        self.coarse.iter().filter(older).chain(&self.fine).copied()
    }

    pub(crate) fn first(&self) -> Option<Point<T>> {
        self.points().next()
    }

    pub(crate) fn last(&self) -> Option<Point<T>> {
        self.fine.back().copied()
    }

    /// The last point that is at least `window` old, or the oldest there is.
    pub(crate) fn before(&self, now: Instant, window: Duration) -> Option<Point<T>> {
        let old = |point: &Point<T>| now.saturating_duration_since(point.at) >= window;
        self.points().rev().find(old).or_else(|| self.first())
    }

    /// The points of the last `window`.
    pub(crate) fn within(
        &self,
        now: Instant,
        window: Duration,
    ) -> impl Iterator<Item = Point<T>> + Clone + '_ {
        self.points()
            .filter(move |point| now.saturating_duration_since(point.at) <= window)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.fine.len() + self.coarse.len()
    }
}

/// Drops what is too old, but keeps one point that is as old as wanted.
fn trim<T>(points: &mut VecDeque<Point<T>>, now: Instant, keep: Duration) {
    while let Some(second) = points.get(1)
        && now.saturating_duration_since(second.at) >= keep
    {
        points.pop_front();
    }
}

/// The slope of the line through the points with the least squares of distances, in units a
/// second; none for fewer than two points, or less than half a second.
///
/// A slot's `restart_lsn` moves in steps, so that what it holds back is a saw: the difference
/// between two points of a saw says more about where in a tooth they lie than about its trend.
pub(crate) fn slope(points: impl Iterator<Item = Point<f64>> + Clone) -> Option<f64> {
    let first = points.clone().next()?.at;
    let seconds = |point: &Point<f64>| point.at.duration_since(first).as_secs_f64();
    let (mut count, mut sum_x, mut sum_y, mut span) = (0.0, 0.0, 0.0, 0.0_f64);
    for point in points.clone() {
        count += 1.0;
        sum_x += seconds(&point);
        sum_y += point.value;
        span = span.max(seconds(&point));
    }
    if count < 2.0 || span < LEAST_DISTANCE.as_secs_f64() {
        return None;
    }
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut both, mut squares) = (0.0, 0.0);
    for point in points {
        let x = seconds(&point) - mean_x;
        both += x * (point.value - mean_y);
        squares += x * x;
    }
    (squares > 0.0).then(|| both / squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_at_any_pace() {
        let begin = Instant::now();
        for (step_ms, steps) in [(10, 60_000), (5_000, 40_000), (600_000, 1_000)] {
            let mut track = Track::new(Duration::from_secs(86_400));
            for step in 0..steps {
                track.push(begin + Duration::from_millis(step_ms * step), step);
            }
            assert!(track.len() <= 245 + 1_445, "{step_ms}: {}", track.len());
            let points: Vec<_> = track.points().collect();
            assert!(
                points.is_sorted_by(|a, b| a.at < b.at),
                "{step_ms}: in order, each once"
            );
        }
    }

    #[test]
    fn a_time_that_goes_back_is_dropped() {
        let begin = Instant::now();
        let mut track = Track::new(FINE);
        track.push(begin + FINE, 1);
        track.push(begin, 2);
        assert_eq!(track.last().map(|point| point.value), Some(1));
    }

    #[test]
    fn the_slope_of_a_line_and_of_a_saw() {
        let begin = Instant::now();
        let points = |value: fn(f64) -> f64| {
            (0..60_u32).map(move |second| Point {
                at: begin + Duration::from_secs(second.into()),
                value: value(f64::from(second)),
            })
        };
        let line = slope(points(|x| 7.0 + 3.0 * x)).expect("a slope");
        assert!((line - 3.0).abs() < 1e-9, "{line}");
        let saw = slope(points(|x| (x % 15.0) * 100.0)).expect("a slope");
        assert!(
            saw.abs() < 10.0,
            "{saw} of a saw that rises by 100 a second"
        );
        assert_eq!(slope(points(|x| x).take(1)), None);
    }
}
