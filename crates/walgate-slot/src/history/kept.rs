//! A history as bytes, so that the highest rate of a day outlives a restart.
//!
//! Points are kept by their age and a time of the wall clock, because an [`Instant`] means nothing to
//! the next process. One point a minute is enough; who uses a slot, and what is decoded for it, is
//! soon seen again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use walgate_core::Lsn;

use super::{DAY, HOUR, History, QUARTER, SlotTrack, Written};
use crate::track::{Point, Track};

/// The version of the form below; another one is not read.
const VERSION: u32 = 1;

/// The distance of the points that are kept.
const DISTANCE: Duration = Duration::from_secs(60);

/// More points than a day has minutes, twice, are no history of ours.
const MOST_POINTS: usize = 2 * 24 * 60;

/// Why bytes are no history.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// They make no sense.
    #[error("it can't be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// They were written by another release.
    #[error("it has version {0}, and this release reads version {VERSION}")]
    Version(u32),
    /// It has more than a history can have, or none of its points is of the last day.
    #[error("nothing of it is of use")]
    Useless,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    /// When it was written, in milliseconds since 1970.
    at: u64,
    system_id: Option<u64>,
    in_recovery: bool,
    /// Age in milliseconds, end of the log, bytes seen being written; oldest first.
    wal: Vec<(u64, u64, u64)>,
    /// By slot: age in milliseconds, bytes held back.
    slots: BTreeMap<String, Vec<(u64, u64)>>,
}

impl History {
    /// As bytes for [`from_kept`](Self::from_kept): some 50 bytes for each minute.
    #[must_use]
    pub fn to_kept(&self, now: Instant, time: SystemTime) -> Vec<u8> {
        let age = |at: Instant| millis(now.saturating_duration_since(at));
        let wal = sparse(&self.wal)
            .map(|point| (age(point.at), point.value.wal_lsn.0, point.value.bytes))
            .collect();
        let slots = self.slots.iter().map(|(name, track)| {
            let points = sparse(&track.retained);
            let points = points.map(|point| (age(point.at), point.value)).collect();
            (name.clone(), points)
        });
        let kept = Kept {
            version: VERSION,
            at: millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()),
            system_id: self.system_id,
            in_recovery: self.in_recovery,
            wal,
            slots: slots.collect(),
        };
        // Numbers and names: nothing that JSON could refuse.
        serde_json::to_vec(&kept).unwrap_or_default()
    }

    /// What another process has kept. A clock that was set back since counts as no time.
    ///
    /// # Errors
    ///
    /// When it is none that this release can use.
    pub fn from_kept(bytes: &[u8], now: Instant, time: SystemTime) -> Result<Self, KeptError> {
        let kept: Kept = serde_json::from_slice(bytes)?;
        if kept.version != VERSION {
            return Err(KeptError::Version(kept.version));
        }
        if kept.wal.len() > MOST_POINTS || kept.slots.len() > super::MOST_SLOTS {
            return Err(KeptError::Useless);
        }
        let time = millis(time.duration_since(UNIX_EPOCH).unwrap_or_default());
        let since = time.saturating_sub(kept.at);
        let at = |age: u64| {
            let age = Duration::from_millis(age.saturating_add(since));
            now.checked_sub(age).filter(|_| age <= DAY)
        };
        let mut history = Self {
            system_id: kept.system_id,
            in_recovery: kept.in_recovery,
            ..Self::new()
        };
        for (age, lsn, bytes) in kept.wal {
            let wal_lsn = Lsn(lsn);
            if let Some(at) = at(age) {
                history.wal.push(at, Written { wal_lsn, bytes });
            }
        }
        let Some(seen) = history.wal.last().map(|last| last.at) else {
            return Err(KeptError::Useless);
        };
        for (name, points) in kept.slots {
            let mut retained = Track::new(HOUR);
            for (age, bytes) in points {
                if let Some(at) = at(age).filter(|at| now.duration_since(*at) <= HOUR) {
                    retained.push(at, bytes);
                }
            }
            let track = SlotTrack {
                retained,
                decoded: Track::new(QUARTER),
                unused_since: None,
                confirmed: None,
                polled_at: None,
                seen,
            };
            history.slots.insert(name, track);
        }
        Ok(history)
    }
}

/// A point for each [`DISTANCE`], and the last.
fn sparse<T: Copy>(track: &Track<T>) -> impl Iterator<Item = Point<T>> + '_ {
    let newest = track.last().map(|last| last.at);
    let mut before: Option<Instant> = None;
    track.points().filter(move |point| {
        let due = before.is_none_or(|before| point.at.duration_since(before) >= DISTANCE);
        if due {
            before = Some(point.at);
        }
        due || Some(point.at) == newest
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::observation::{Observation, Slot};

    use super::*;

    /// A day at 1 MiB/s with an hour at 10 in it, looked at every 5 s for the last two minutes and
    /// every minute before.
    fn day(begin: Instant) -> (History, Instant) {
        let mut history = History::new();
        let (mut lsn, mut at) = (1_u64 << 30, begin);
        let steps = (0..1430).map(|_| 60).chain((0..24).map(|_| 5));
        for (step, seconds) in steps.enumerate() {
            let rate = if (100..160).contains(&step) { 10 } else { 1 };
            lsn += (rate << 20) * seconds;
            at += Duration::from_secs(seconds);
            let mut slot = Slot::default();
            "s".clone_into(&mut slot.name);
            slot.restart_lsn = Some(Lsn(lsn - (5 << 20)));
            let seen = Observation {
                wal_lsn: Some(Lsn(lsn)),
                slots: vec![slot],
                ..Observation::default()
            };
            history.record(at, &seen, Some(7));
        }
        (history, at)
    }

    fn rate(history: &History) -> f64 {
        let highest = history.highest_rate().expect("a rate");
        highest.bytes_per_second / f64::from(1 << 20)
    }

    #[test]
    fn the_highest_rate_of_the_day_outlives_the_process() {
        let (history, now) = day(Instant::now());
        let time = UNIX_EPOCH + Duration::from_secs(1_795_219_200);
        let bytes = history.to_kept(now, time);
        assert!(bytes.len() < 100 << 10, "{}", bytes.len());
        let later = Duration::from_secs(600);
        let again = History::from_kept(&bytes, now + later, time + later).expect("a history");
        assert_eq!(again.system_id(), Some(7));
        assert!((rate(&again) - 10.0).abs() < 0.5, "{}", rate(&again));
        assert!((rate(&again) - rate(&history)).abs() < 0.1);
        assert!(again.retained("s").count() > 40);
        assert!(again.span() + Duration::from_secs(660) >= history.span());
        // A clock that went back, or a day later.
        let back = History::from_kept(&bytes, now, time - later).expect("a history");
        assert!(back.span() > HOUR);
        assert!(matches!(
            History::from_kept(&bytes, now + 2 * DAY, time + 2 * DAY),
            Err(KeptError::Useless)
        ));
    }

    #[test]
    fn what_was_written_meanwhile_counts() {
        let (history, now) = day(Instant::now());
        let time = SystemTime::now();
        let bytes = history.to_kept(now, time);
        let hour = Duration::from_secs(3600);
        let mut again = History::from_kept(&bytes, now + hour, time + hour).expect("a history");
        let last = again.wal.last().expect("a point").value;
        let seen = Observation {
            wal_lsn: Some(Lsn(last.wal_lsn.0 + (3600 << 20))),
            ..Observation::default()
        };
        again.record(now + hour, &seen, Some(7));
        let rate = again.wal_rate(hour).expect("a rate");
        let mib = rate.bytes_per_second / f64::from(1 << 20);
        assert!((mib - 1.0).abs() < 0.05, "{mib}");
    }

    #[test]
    fn nonsense_is_refused() {
        let (now, time) = (Instant::now(), SystemTime::now());
        let (history, _) = day(now.checked_sub(DAY).unwrap_or(now));
        let bytes = history.to_kept(now, time);
        let text = String::from_utf8(bytes).expect("text");
        for broken in [
            "",
            "{}",
            "null",
            &text[..text.len() / 2],
            &text.replacen("\"version\":1", "\"version\":2", 1),
            &text.replacen("\"wal\":[[", "\"wal\":[[-", 1),
        ] {
            let read = History::from_kept(broken.as_bytes(), now, time);
            assert!(read.is_err(), "{}", &broken[..broken.len().min(60)]);
        }
        let far = text.replacen("\"wal\":[[", "\"wal\":[[18446744073709551615,1,1],[", 1);
        assert!(History::from_kept(far.as_bytes(), now, time).is_ok());
    }
}
