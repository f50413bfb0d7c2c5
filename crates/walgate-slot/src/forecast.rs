//! How much room is left, and for how long.

use std::time::Duration;

use crate::history::{HOUR, History, MINUTE, QUARTER, Rate};
use crate::observation::{Observation, Slot};

/// Less time than this is never shown as no danger: somebody must be able to react.
pub const NEAR: Duration = Duration::from_secs(3600);

/// Growth slower than this is none: what an idle server writes by itself.
const STANDSTILL_BYTES_PER_SECOND: f64 = 1.0;

/// What a server that was quiet while we looked may write the next moment: a file of the log a
/// second, which a batch on an ordinary disk does. Only counts where we looked for a short time.
const BURST_BYTES_PER_SECOND: u64 = 16 << 20;

/// Less than one part in so many that is left is near the limit, whatever the rates are.
const NEAR_SHARE: u64 = 20;

/// Limits that the server does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The most that a slot may hold back, as the operator says.
    pub budget_bytes: Option<u64>,
    /// What is free on the server's disk, where that is known.
    pub free_disk_bytes: Option<u64>,
    /// What of it must stay free.
    pub reserve_bytes: u64,
}

/// What ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// `safe_wal_size`: the server's `max_slot_wal_keep_size`.
    KeepSize,
    /// The operator's budget.
    Budget,
    /// The server's disk, less the reserve.
    Disk,
}

/// Bytes of log that can still be written before the nearest limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headroom {
    /// How many; 0 when the limit is reached.
    pub bytes: u64,
    /// Which limit.
    pub limit: Limit,
}

/// When the headroom is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLeft {
    /// Not as things go. Never said of a short look where little is left.
    Never,
    /// After this time.
    In(Duration),
    /// There is no limit that anybody told us: only the disk of the server is one.
    NoLimit,
    /// There are not enough samples yet.
    Unknown,
}

impl TimeLeft {
    fn of(headroom: Option<Headroom>, bytes_per_second: Option<f64>) -> Self {
        let Some(headroom) = headroom else {
            return Self::NoLimit;
        };
        if headroom.bytes == 0 {
            return Self::In(Duration::ZERO);
        }
        match bytes_per_second {
            None => Self::Unknown,
            Some(rate) if rate < STANDSTILL_BYTES_PER_SECOND => Self::Never,
            #[expect(clippy::cast_precision_loss, reason = "a time needs no byte")]
            Some(rate) => Duration::try_from_secs_f64(headroom.bytes as f64 / rate)
                .map_or(Self::Never, Self::In),
        }
    }

    /// A short quiet time is no promise, unless what is left is enough for [`NEAR`] of a burst.
    fn of_short_look(self, headroom: Option<Headroom>, looked: Duration) -> Self {
        let enough = BURST_BYTES_PER_SECOND * NEAR.as_secs();
        match self {
            Self::Never if looked < QUARTER && headroom.is_some_and(|left| left.bytes < enough) => {
                Self::Unknown
            }
            left => left,
        }
    }

    /// The time, when there is one.
    #[must_use]
    pub const fn time(self) -> Option<Duration> {
        match self {
            Self::In(time) => Some(time),
            Self::Never | Self::NoLimit | Self::Unknown => None,
        }
    }

    fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::In(one), Self::In(two)) => Self::In(one.min(two)),
            (Self::In(time), _) | (_, Self::In(time)) => Self::In(time),
            (Self::NoLimit, _) | (_, Self::NoLimit) => Self::NoLimit,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Never, Self::Never) => Self::Never,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Danger {
    /// There is a limit, and both times are an hour or more, or it is not reached as things go.
    None,
    /// It can't be said: there is no limit that anybody told us, or there are no samples yet.
    Unknown,
    /// One of the times is less than an hour, or less than a twentieth is left.
    Near,
    /// It happened: the limit is reached, or the slot is lost.
    Reached,
}

/// What becomes of a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// What is left; none without a limit.
    pub headroom: Option<Headroom>,
    /// How fast what it holds back grows, in bytes a second over 1, 15 and 60 minutes.
    pub trends: [(Duration, Option<f64>); 3],
    /// When the headroom is used up at the steepest of these trends.
    pub at_trend: TimeLeft,
    /// The highest rate of 15 minutes at which log was written in the last 24 hours.
    pub highest: Option<Rate>,
    /// When it is used up if the consumer stopped now, at that rate.
    pub if_stopped: TimeLeft,
    /// When the server invalidates it for being unused (`idle_replication_slot_timeout`); none while
    /// it is used, and where that is off.
    pub idle_left: Option<Duration>,
    /// How bad it is.
    pub danger: Danger,
}

/// Looks ahead for one slot. Bursts above any rate that was seen are excluded.
#[must_use]
pub fn forecast(seen: &Observation, slot: &Slot, history: &History, limits: Limits) -> Forecast {
    let headroom = headroom(seen, slot, limits);
    let trends = [MINUTE, QUARTER, HOUR].map(|window| (window, history.trend(&slot.name, window)));
    let steepest = trends
        .iter()
        .filter_map(|(_, trend)| *trend)
        .max_by(f64::total_cmp);
    let looked = history.span();
    let at_trend = TimeLeft::of(headroom, steepest).of_short_look(headroom, looked);
    let highest = history.highest_rate();
    let if_stopped = TimeLeft::of(headroom, highest.map(|rate| rate.bytes_per_second))
        .of_short_look(headroom, looked);
    let idle_left = idle_left(seen, slot);
    let nearest = at_trend
        .sooner(if_stopped)
        .sooner(idle_left.map_or(at_trend, TimeLeft::In));
    Forecast {
        headroom,
        trends,
        at_trend,
        highest,
        if_stopped,
        idle_left,
        danger: danger(slot, nearest, is_nearly_full(seen, slot, headroom)),
    }
}

/// What is left is a small part of what there was, or only the next checkpoint is waited for.
fn is_nearly_full(seen: &Observation, slot: &Slot, headroom: Option<Headroom>) -> bool {
    let retained = seen.retained_bytes(slot).unwrap_or(0);
    slot.wal_status.as_deref() == Some("unreserved")
        || headroom.is_some_and(|left| left.bytes < retained / (NEAR_SHARE - 1))
}

fn danger(slot: &Slot, left: TimeLeft, nearly_full: bool) -> Danger {
    if slot.lost().is_some() {
        return Danger::Reached;
    }
    // Nobody can hold back log that was never reserved.
    if slot.restart_lsn.is_none() {
        return Danger::None;
    }
    match left {
        TimeLeft::In(Duration::ZERO) => Danger::Reached,
        TimeLeft::In(time) if time < NEAR => Danger::Near,
        _ if nearly_full => Danger::Near,
        TimeLeft::In(_) | TimeLeft::Never => Danger::None,
        TimeLeft::NoLimit | TimeLeft::Unknown => Danger::Unknown,
    }
}

fn idle_left(seen: &Observation, slot: &Slot) -> Option<Duration> {
    // The server spares slots in use, copies on a standby, and slots that hold back nothing.
    if slot.active || slot.synced || slot.restart_lsn.is_none() {
        return None;
    }
    let timeout = seen.settings.idle_slot_timeout()?;
    Some(timeout.saturating_sub(slot.inactive_for()?))
}

/// The least of what each limit leaves.
fn headroom(seen: &Observation, slot: &Slot, limits: Limits) -> Option<Headroom> {
    let retained = seen.retained_bytes(slot).unwrap_or(0);
    let keep_size = match slot.lost() {
        Some(_) => Some(0),
        // It holds back nothing that could be lost; servers show a number from nowhere.
        None if slot.restart_lsn.is_none() => None,
        // The server computes it against a position that stands at 0/0 in recovery.
        None if seen.in_recovery => seen
            .settings
            .kept_bytes()
            .map(|kept| kept.saturating_sub(retained)),
        None => slot
            .safe_wal_size
            .map(|bytes| u64::try_from(bytes).unwrap_or(0)),
    };
    let budget = limits
        .budget_bytes
        .map(|budget| budget.saturating_sub(retained));
    let disk = limits
        .free_disk_bytes
        .map(|free| free.saturating_sub(limits.reserve_bytes));
    [
        (keep_size, Limit::KeepSize),
        (budget, Limit::Budget),
        (disk, Limit::Disk),
    ]
    .into_iter()
    .filter_map(|(bytes, limit)| bytes.map(|bytes| Headroom { bytes, limit }))
    .min_by_key(|headroom| headroom.bytes)
}

#[cfg(test)]
mod tests;
