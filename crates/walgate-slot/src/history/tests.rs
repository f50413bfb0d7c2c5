use proptest::prelude::*;

use super::*;
use crate::observation::{Database, Slot, SlotStatistics};

/// A look at a server whose only slot holds back everything from 0/1.
fn look(wal: u64) -> Observation {
    Observation {
        wal_lsn: Some(Lsn(wal + 1)),
        slots: vec![Slot {
            name: "s".into(),
            slot_type: "logical".into(),
            restart_lsn: Some(Lsn(1)),
            ..Slot::default()
        }],
        ..Observation::default()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A history with a look every `step` seconds for `steps` steps, of a log that ends at `wal(second)`.
fn watched(step: u64, steps: u64, wal: impl Fn(u64) -> u64) -> (History, Instant) {
    let begin = Instant::now();
    let mut history = History::new();
    for second in (0..=steps).map(|number| number * step) {
        history.record(begin + seconds(second), &look(wal(second)), Some(7));
    }
    (history, begin + seconds(step * steps))
}

fn close(found: f64, wanted: f64) {
    assert!(
        (found - wanted).abs() <= wanted.abs() * 0.01,
        "{found} is not {wanted}"
    );
}

#[test]
fn rates_over_each_window() {
    // 100 bytes a second for two hours, then 1000 a second for 5 minutes.
    let (history, _) = watched(5, 1500, |second| match second {
        ..7200 => second * 100,
        _ => 720_000 + (second - 7200) * 1000,
    });
    let rate = |window| history.wal_rate(window).expect("a rate").bytes_per_second;
    close(rate(MINUTE), 1000.0);
    close(rate(QUARTER), (300.0 * 1000.0 + 600.0 * 100.0) / 900.0);
    close(rate(HOUR), (300.0 * 1000.0 + 3300.0 * 100.0) / 3600.0);
    close(history.trend("s", MINUTE).expect("a trend"), 1000.0);
    assert_eq!(history.trend("other", MINUTE), None);
}

#[test]
fn the_highest_quarter_of_the_day_is_remembered_and_then_forgotten() {
    // A batch of half an hour at 5000 bytes a second, in hour 2.
    let wal = |second: u64| second * 10 + second.clamp(7200, 9000).saturating_sub(7200) * 5000;
    let (history, _) = watched(30, 20 * 120, wal);
    close(
        history.highest_rate().expect("a rate").bytes_per_second,
        5010.0,
    );
    close(
        history.wal_rate(HOUR).expect("a rate").bytes_per_second,
        10.0,
    );
    let (history, _) = watched(30, 27 * 120, wal);
    close(
        history.highest_rate().expect("a rate").bytes_per_second,
        10.0,
    );
}

#[test]
fn what_was_not_seen_counts_with_its_average_until_a_day_was_seen() {
    let busy = |wal: u64, hours: f64| {
        let mut seen = look(wal);
        seen.average = Some(crate::observation::LongAverage {
            bytes: 1000.0 * 3600.0 * hours,
            seconds: Some(3600.0 * hours),
        });
        seen
    };
    let begin = Instant::now();
    let highest = |hours, seen_hours: u64| {
        let mut history = History::new();
        for minute in 0..=seen_hours * 60 + 1 {
            history.record(begin + seconds(minute * 60), &busy(minute, hours), None);
        }
        history.highest_rate().expect("a rate").bytes_per_second
    };
    close(highest(100.0, 0), 1000.0);
    close(highest(100.0, 23), 1000.0);
    assert!(highest(100.0, 24) < 1.0, "all of a day was seen");
    assert!(highest(0.5, 0) < 1.0, "half an hour is no long time");
}

#[test]
fn a_young_history_says_over_which_time() {
    assert_eq!(History::new().wal_rate(HOUR), None);
    assert_eq!(History::new().highest_rate(), None);
    let (history, _) = watched(5, 12, |second| second * 64);
    let rate = history.wal_rate(HOUR).expect("a rate");
    assert_eq!(rate.over, seconds(60));
    close(rate.bytes_per_second, 64.0);
    close(
        history.highest_rate().expect("a rate").bytes_per_second,
        64.0,
    );
}

#[test]
fn a_promotion_or_another_server_is_no_log_that_was_written() {
    let begin = Instant::now();
    let at = |second| begin + seconds(second);
    let mut history = History::new();
    history.record(at(0), &look(1000), Some(7));
    history.record(at(10), &look(2000), Some(7));
    // The standby that was promoted had less; then it writes.
    history.record(at(20), &look(1500), Some(7));
    history.record(at(30), &look(2500), Some(7));
    close(
        history.wal_rate(MINUTE).expect("a rate").bytes_per_second,
        2000.0 / 30.0,
    );
    // Another server, far ahead.
    history.record(at(40), &look(1 << 50), Some(8));
    close(
        history.wal_rate(MINUTE).expect("a rate").bytes_per_second,
        2000.0 / 40.0,
    );
    assert_eq!(history.trend("s", MINUTE), None, "it begins anew");
    // The same server, no longer in recovery.
    let mut promoted = look((1 << 50) + 4000);
    promoted.in_recovery = true;
    history.record(at(50), &promoted, Some(8));
    close(
        history.wal_rate(MINUTE).expect("a rate").bytes_per_second,
        2000.0 / 50.0,
    );
}

#[test]
fn the_log_of_before_a_restore_is_nobodys_lag() {
    let (mut history, now) = watched(5, 100, |second| (1 << 40) + second * 1_000_000);
    let restored = now + seconds(5);
    let mut later = restored;
    for look_of in 0..20_u64 {
        later = restored + seconds(look_of * 5);
        history.record(later, &look((1 << 30) + look_of * 1_000_000), None);
    }
    let end = (1 << 30) + 19_000_000;
    assert_eq!(
        history.lag(Lsn(end - 1_500_000), later),
        Lag::About(seconds(5))
    );
    assert_eq!(history.lag(Lsn(1 << 29), later), Lag::AtLeast(seconds(95)));
    assert_eq!(history.written_behind(Lsn(end + 1), later), Lag::None);
}

#[test]
fn lag_is_the_age_of_the_oldest_log_behind_a_position() {
    let (history, now) = watched(5, 100, |second| second * 1_000_000);
    assert_eq!(history.lag(Lsn(400_000_001), now), Lag::About(seconds(95)));
    assert_eq!(history.lag(Lsn(500_000_001), now), Lag::None, "at the end");
    assert_eq!(
        history.lag(Lsn(499_990_000), now),
        Lag::None,
        "an idle server's own"
    );
    assert_eq!(history.lag(Lsn(0), now), Lag::AtLeast(seconds(500)));
    assert_eq!(History::new().lag(Lsn(0), now), Lag::None);
}

#[test]
fn who_uses_slots_and_what_is_decoded_and_written() {
    let begin = Instant::now();
    let at = |second| begin + seconds(second);
    let mut history = History::new();
    for second in 0..10 {
        let mut seen = look(second);
        seen.slots[0].active = second < 5;
        seen.statistics = vec![SlotStatistics {
            name: "s".into(),
            total_bytes: 40 + i64::try_from(second).expect("small"),
            ..SlotStatistics::default()
        }];
        let database = |name: &str, rows_written| Database {
            name: name.into(),
            rows_written,
        };
        seen.databases = vec![
            database("quiet", 5_000),
            database("busy", 10 * second as i64),
        ];
        history.record(at(second), &seen, None);
    }
    assert_eq!(history.unused_for("s", at(9)), Some(seconds(4)));
    assert_eq!(history.decoded("s").map(|(bytes, _)| bytes), Some(9));
    assert_eq!(history.busiest_database(), Some(("busy", 90)));
    history.record(
        at(10),
        &Observation {
            wal_lsn: Some(Lsn(50)),
            ..Observation::default()
        },
        None,
    );
    assert_eq!(history.unused_for("s", at(10)), None, "it was dropped");
    assert_eq!(history.busiest_database(), None);
}

#[test]
fn more_slots_than_are_followed() {
    let begin = Instant::now();
    let mut history = History::new();
    for second in 0..3 {
        let mut seen = look(10_000);
        seen.slots = (0..1000_u32)
            .map(|number| Slot {
                name: format!("s{number}"),
                restart_lsn: Some(Lsn(u64::from(number))),
                ..Slot::default()
            })
            .collect();
        history.record(begin + seconds(second), &seen, None);
    }
    assert_eq!(history.slots.len(), MOST_SLOTS);
    assert!(
        history.trend("s0", MINUTE).is_some(),
        "the oldest is followed"
    );
}

proptest! {
    /// Whatever positions and times a server and a clock come up with.
    #[test]
    fn rates_are_never_negative_nor_above_what_was_written(
        steps in prop::collection::vec((0_u64..200_000, any::<u32>(), 0_u8..40), 1..200)
    ) {
        let begin = Instant::now();
        let mut history = History::new();
        let mut at = begin;
        for (millis, wal, odd) in steps {
            // Now and then time goes back, or another server answers.
            let now = if odd == 1 { at - Duration::from_secs(5).min(at - begin) } else { at };
            at += Duration::from_millis(millis);
            history.record(now, &look(wal.into()), Some(u64::from(odd == 2)));
        }
        for window in [MINUTE, QUARTER, HOUR] {
            if let Some(rate) = history.wal_rate(window) {
                prop_assert!(rate.bytes_per_second >= 0.0 && rate.bytes_per_second.is_finite());
                let highest = history.highest_rate().expect("there are two samples");
                if window == QUARTER {
                    prop_assert!(highest.bytes_per_second >= rate.bytes_per_second);
                }
            }
            prop_assert!(history.trend("s", window).is_none_or(f64::is_finite));
        }
    }
}
