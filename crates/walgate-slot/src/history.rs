//! Samples of 24 hours: how fast log is written, and where each slot is going.
//!
//! What counts is what was written between two looks at one server. A restart changes nothing; a
//! promotion, another server behind the same address or a restored one makes the position jump, and
//! a jump is no log that was written. Time is [`Instant`], which no clock can set.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use walgate_core::Lsn;

use crate::observation::Observation;
use crate::track::{Point, Track, slope};

mod kept;

pub use kept::KeptError;

/// The shortest window of a rate.
pub const MINUTE: Duration = Duration::from_secs(60);
/// The window whose highest rate counts: long enough that a checkpoint's burst of page images does
/// not decide, short enough for a nightly batch.
pub const QUARTER: Duration = Duration::from_secs(15 * 60);
/// The longest window of a rate.
pub const HOUR: Duration = Duration::from_secs(3600);

/// What the highest rate is taken from: every hour of the day, the nightly batch too.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A difference over less time says nothing.
const LEAST_SPAN: Duration = Duration::from_millis(500);

/// So many slots are followed, those that hold back most: `max_replication_slots` is 10 by default,
/// and each costs at most 8 KiB.
const MOST_SLOTS: usize = 256;

/// An idle server writes a little all the time (checkpoints, running transactions, the heartbeat of
/// a provider), and not every consumer confirms it at once: less than this is not being behind.
const IDLE_BYTES: u64 = 64 << 10;

/// How fast log is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// Over which time; less than was asked for when there are no samples from before.
    pub over: Duration,
}

/// How old the oldest log is that lies behind a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// The position is at the end, or nothing but what an idle server writes lies behind it.
    None,
    /// It was written so long ago, to the distance of two samples.
    About(Duration),
    /// It was written before the first sample, so long ago at least.
    AtLeast(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Written {
    /// The end of the log.
    wal_lsn: Lsn,
    /// Bytes that were seen being written since the first sample.
    bytes: u64,
}

#[derive(Debug, Clone)]
struct SlotTrack {
    retained: Track<u64>,
    /// Bytes of changes that were decoded for it.
    decoded: Track<i64>,
    /// Nobody was seen using it since then.
    unused_since: Option<Instant>,
    /// What was confirmed at the last look.
    confirmed: Option<Lsn>,
    /// When that was last seen to have moved between two looks that saw nobody: somebody polls.
    polled_at: Option<Instant>,
    seen: Instant,
}

/// Samples of the last 24 hours.
#[derive(Debug, Clone)]
pub struct History {
    wal: Track<Written>,
    slots: BTreeMap<String, SlotTrack>,
    databases: BTreeMap<String, Track<i64>>,
    /// What is written on the average of a long time, as the server says.
    average: Option<Rate>,
    /// Whose log it is.
    system_id: Option<u64>,
    in_recovery: bool,
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            wal: Track::new(DAY),
            slots: BTreeMap::new(),
            databases: BTreeMap::new(),
            average: None,
            system_id: None,
            in_recovery: false,
        }
    }

    /// Takes a look at the server `system_id`. One with a `now` before the last is dropped.
    pub fn record(&mut self, now: Instant, seen: &Observation, system_id: Option<u64>) {
        let Some(wal_lsn) = seen.wal_lsn else {
            return;
        };
        if self.wal.last().is_some_and(|last| now <= last.at) {
            return;
        }
        let other = system_id != self.system_id || seen.in_recovery != self.in_recovery;
        let (bytes, jumped) = match self.wal.last() {
            None => (0, false),
            Some(last) if other || wal_lsn < last.value.wal_lsn => (last.value.bytes, true),
            Some(Point { value, .. }) => {
                let new = wal_lsn.bytes_since(value.wal_lsn);
                (value.bytes.saturating_add(new), false)
            }
        };
        if jumped {
            // What a slot held back there is no beginning of what it holds back here.
            self.slots.clear();
            self.databases.clear();
        }
        (self.system_id, self.in_recovery) = (system_id, seen.in_recovery);
        self.wal.push(now, Written { wal_lsn, bytes });
        self.average = seen.average.and_then(|average| {
            Some(Rate {
                bytes_per_second: average.bytes_per_second()?,
                over: Duration::try_from_secs_f64(average.seconds?).ok()?,
            })
        });
        self.record_slots(now, seen);
        self.record_databases(now, seen);
    }

    fn record_slots(&mut self, now: Instant, seen: &Observation) {
        let mut slots: Vec<_> = seen
            .slots
            .iter()
            .map(|slot| (seen.retained_bytes(slot).unwrap_or(0), slot))
            .collect();
        slots.sort_by_key(|(retained, _)| std::cmp::Reverse(*retained));
        for (retained, slot) in slots.into_iter().take(MOST_SLOTS) {
            let track = self.slots.entry(slot.name.clone());
            let track = track.or_insert_with(|| SlotTrack {
                retained: Track::new(HOUR),
                decoded: Track::new(QUARTER),
                unused_since: None,
                confirmed: None,
                polled_at: None,
                seen: now,
            });
            track.seen = now;
            track.retained.push(now, retained);
            match seen.statistics(&slot.name) {
                Some(row) => track.decoded.push(now, row.total_bytes),
                None => track.decoded = Track::new(QUARTER),
            }
            let unused = !slot.active && track.unused_since.is_some();
            if unused && track.confirmed < slot.confirmed_flush_lsn {
                track.polled_at = Some(now);
            }
            track.confirmed = slot.confirmed_flush_lsn;
            track.unused_since = match slot.active {
                true => None,
                false => track.unused_since.or(Some(now)),
            };
        }
        self.slots.retain(|_, track| track.seen == now);
    }

    fn record_databases(&mut self, now: Instant, seen: &Observation) {
        /// Only names of databases that write matter, and a server has few of them.
        const MOST_DATABASES: usize = 256;
        for database in seen.databases.iter().take(MOST_DATABASES) {
            let track = self.databases.entry(database.name.clone());
            let track = track.or_insert_with(|| Track::new(QUARTER));
            track.push(now, database.rows_written);
        }
        let known = |name: &str| seen.databases.iter().any(|one| one.name == name);
        self.databases.retain(|name, _| known(name));
    }

    /// Whose log it is, as far as the server says so.
    #[must_use]
    pub const fn system_id(&self) -> Option<u64> {
        self.system_id
    }

    /// How much time lies between the first sample that is kept and the last.
    #[must_use]
    pub fn span(&self) -> Duration {
        match (self.wal.first(), self.wal.last()) {
            (Some(first), Some(last)) => last.at.duration_since(first.at),
            _ => Duration::ZERO,
        }
    }

    /// How fast log was written in the last `window`; none before there are two samples.
    #[must_use]
    pub fn wal_rate(&self, window: Duration) -> Option<Rate> {
        let last = self.wal.last()?;
        let then = self.wal.before(last.at, window)?;
        rate(then, last)
    }

    /// The highest rate of 15 minutes in the last 24 hours; none before there are two samples. With
    /// less than 15 minutes of samples, the higher of the rates of all of them and of the last
    /// minute; and never less than the rate of the last 15 minutes. With less than a day of samples
    /// also never less than the average since the server's statistics were reset: an hour that was
    /// not seen may have been a busy one.
    #[must_use]
    pub fn highest_rate(&self) -> Option<Rate> {
        let span = self.span();
        let seen = self.highest_seen(span);
        match seen {
            Some(_) if span < DAY => higher(seen, self.average),
            seen => seen,
        }
    }

    fn highest_seen(&self, span: Duration) -> Option<Rate> {
        if span < QUARTER {
            return higher(self.wal_rate(MINUTE), self.wal_rate(QUARTER));
        }
        let mut highest = self.wal_rate(QUARTER);
        let mut begins = self.wal.points().peekable();
        // The latest point that is still 15 minutes before the end.
        let mut begin = None;
        for end in self.wal.points() {
            while let Some(point) = begins.peek().copied()
                && end.at.duration_since(point.at.min(end.at)) >= QUARTER
            {
                begin = Some(point);
                begins.next();
            }
            highest = higher(highest, begin.and_then(|begin| rate(begin, end)));
        }
        highest
    }

    /// How fast what a slot holds back grows, in bytes a second over the last `window`; negative when
    /// it shrinks, none before there are two samples.
    #[must_use]
    pub fn trend(&self, slot: &str, window: Duration) -> Option<f64> {
        let track = &self.slots.get(slot)?.retained;
        let last = track.last()?;
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no byte")]
        let points = track.within(last.at, window).map(|point| Point {
            at: point.at,
            value: point.value as f64,
        });
        slope(points)
    }

    /// What a slot held back, oldest sample first, at most an hour: for a line that shows it.
    pub fn retained(&self, slot: &str) -> impl Iterator<Item = (Instant, u64)> + '_ {
        let track = self.slots.get(slot);
        track
            .into_iter()
            .flat_map(|track| track.retained.points())
            .map(|point| (point.at, point.value))
    }

    /// For how long nobody has been seen using a slot; less than it is, as far as we looked.
    #[must_use]
    pub fn unused_for(&self, slot: &str, now: Instant) -> Option<Duration> {
        let since = self.slots.get(slot)?.unused_since?;
        Some(now.saturating_duration_since(since))
    }

    /// Whether what a slot has confirmed moved in the last 15 minutes while nobody was seen using it:
    /// its consumer asks from time to time, with `pg_logical_slot_get_changes`.
    #[must_use]
    pub fn is_polled(&self, slot: &str, now: Instant) -> bool {
        let polled = self.slots.get(slot).and_then(|track| track.polled_at);
        polled.is_some_and(|at| now.saturating_duration_since(at) <= QUARTER)
    }

    /// Bytes of changes that were decoded for a slot in the last 15 minutes of samples, and in which
    /// time; none where the server does not say it, and after a reset of its statistics.
    #[must_use]
    pub fn decoded(&self, slot: &str) -> Option<(u64, Duration)> {
        let track = &self.slots.get(slot)?.decoded;
        let (last, first) = (track.last()?, track.first()?);
        let bytes = u64::try_from(last.value.saturating_sub(first.value)).ok()?;
        (last.at > first.at).then(|| (bytes, last.at.duration_since(first.at)))
    }

    /// The database with most rows written in the last 15 minutes of samples, and how many.
    #[must_use]
    pub fn busiest_database(&self) -> Option<(&str, i64)> {
        let grown = self.databases.iter().filter_map(|(name, track)| {
            let rows = track.last()?.value.saturating_sub(track.first()?.value);
            (rows > 0).then_some((name.as_str(), rows))
        });
        grown.max_by_key(|(_, rows)| *rows)
    }

    /// How old the oldest log behind `position` is.
    #[must_use]
    pub fn lag(&self, position: Lsn, now: Instant) -> Lag {
        let Some(last) = self.wal.last() else {
            return Lag::None;
        };
        if last.value.wal_lsn.bytes_since(position) < IDLE_BYTES {
            return Lag::None;
        }
        self.written_behind(position, now)
    }

    /// When the oldest log behind `position` was written, however little it is: for a position of
    /// which it is known that something is missing behind it. [`Lag::None`] also when it was written
    /// after the last look.
    #[must_use]
    pub fn written_behind(&self, position: Lsn, now: Instant) -> Lag {
        let age = |point: Point<Written>| now.saturating_duration_since(point.at);
        let mut points = self.wal.points();
        let Some(mut oldest) = points.next() else {
            return Lag::None;
        };
        let behind = |point: Point<Written>| (point.value.wal_lsn > position).then_some(point);
        let (mut last, mut first) = (oldest, behind(oldest));
        for point in points {
            // The log of before a restore, or of another server, is not this one's.
            if point.value.wal_lsn < last.value.wal_lsn {
                (oldest, first) = (point, None);
            }
            first = first.or_else(|| behind(point));
            last = point;
        }
        match first {
            None => Lag::None,
            Some(first) if oldest.at == first.at => Lag::AtLeast(age(first)),
            Some(first) => Lag::About(age(first)),
        }
    }
}

fn rate(then: Point<Written>, now: Point<Written>) -> Option<Rate> {
    let over = now.at.checked_duration_since(then.at)?;
    if over < LEAST_SPAN {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no byte")]
    let bytes = now.value.bytes.saturating_sub(then.value.bytes) as f64;
    Some(Rate {
        bytes_per_second: bytes / over.as_secs_f64(),
        over,
    })
}

fn higher(one: Option<Rate>, other: Option<Rate>) -> Option<Rate> {
    match (one, other) {
        (Some(one), Some(other)) if other.bytes_per_second > one.bytes_per_second => Some(other),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
