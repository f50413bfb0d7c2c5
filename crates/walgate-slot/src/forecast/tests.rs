use std::time::Instant;

use proptest::prelude::*;
use walgate_core::Lsn;

use super::*;

const GIB: u64 = 1 << 30;
const MIB: f64 = 1_048_576.0;

/// A server whose log grows, and a consumer that may stop.
struct Simulation {
    random: fastrand::Rng,
    history: History,
    now: Instant,
    second: u64,
    wal: f64,
    confirmed: f64,
    restart: f64,
    /// What the slot may hold back before it is lost.
    keep: u64,
}

impl Simulation {
    fn new(keep: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(7),
            history: History::new(),
            now: Instant::now(),
            second: 0,
            wal: 1e9,
            confirmed: 1e9,
            restart: 1e9,
            keep,
        }
    }

    /// So many seconds at `rate` bytes a second, plus or minus 30 %, looked at every 5 seconds. A
    /// consumer that reads confirms all of it; its `restart_lsn` follows every 15 seconds.
    fn run(&mut self, seconds: u64, rate: f64, reads: f64) -> Forecast {
        for _ in 0..seconds {
            self.second += 1;
            self.now += Duration::from_secs(1);
            let written = rate * (0.7 + 0.6 * self.random.f64());
            self.wal += written;
            self.confirmed += written * reads;
            if self.second.is_multiple_of(15) {
                self.restart = self.confirmed;
            }
            if self.second.is_multiple_of(5) {
                self.history.record(self.now, &self.seen(), Some(1));
            }
        }
        self.forecast()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positions"
    )]
    fn seen(&self) -> Observation {
        let retained = (self.wal - self.restart) as u64;
        Observation {
            wal_lsn: Some(Lsn(self.wal as u64)),
            slots: vec![Slot {
                name: "s".into(),
                restart_lsn: Some(Lsn(self.restart as u64)),
                safe_wal_size: Some(self.keep as i64 - retained as i64),
                ..Slot::default()
            }],
            ..Observation::default()
        }
    }

    fn forecast(&self) -> Forecast {
        let seen = self.seen();
        forecast(&seen, &seen.slots[0], &self.history, Limits::default())
    }

    /// How long it really takes until the slot is lost.
    fn until_lost(&mut self, rate: f64, reads: f64) -> Duration {
        let begin = self.now;
        while self.seen().slots[0].safe_wal_size > Some(0) {
            self.run(1, rate, reads);
        }
        self.now - begin
    }
}

fn off(found: TimeLeft, real: Duration) -> f64 {
    let found = found.time().expect("a time").as_secs_f64();
    (found - real.as_secs_f64()).abs() / real.as_secs_f64()
}

#[test]
fn steady_load_with_a_consumer_that_has_stopped() {
    for minutes in [1, 5, 20, 120] {
        let mut simulation = Simulation::new(64 * GIB);
        let found = simulation.run(minutes * 60, 4.0 * MIB, 0.0);
        let stopped = off(found.if_stopped, simulation.until_lost(4.0 * MIB, 0.0));
        let mut again = Simulation::new(64 * GIB);
        let found = again.run(minutes * 60, 4.0 * MIB, 0.0);
        let trend = off(found.at_trend, again.until_lost(4.0 * MIB, 0.0));
        assert!(
            trend <= 0.20,
            "{minutes} min: the trend is off by {trend:.2}"
        );
        assert!(
            stopped <= 0.20,
            "{minutes} min: stopped is off by {stopped:.2}"
        );
    }
}

#[test]
fn steady_load_with_a_consumer_that_is_too_slow() {
    let mut simulation = Simulation::new(32 * GIB);
    let found = simulation.run(3600, 4.0 * MIB, 0.8);
    let real = simulation.until_lost(4.0 * MIB, 0.8);
    let trend = off(found.at_trend, real);
    assert!(trend <= 0.20, "off by {trend:.2} of {real:?}");
    assert!(found.if_stopped.time() < found.at_trend.time());
}

#[test]
fn a_consumer_that_keeps_up_is_no_danger_where_there_is_room() {
    let mut simulation = Simulation::new(256 * GIB);
    let found = simulation.run(7200, 4.0 * MIB, 1.0);
    assert_eq!(found.danger, Danger::None, "{found:?}");
    let stopped = off(found.if_stopped, simulation.until_lost(4.0 * MIB, 0.0));
    assert!(stopped <= 0.20, "off by {stopped:.2}");
}

#[test]
fn the_nightly_batch_counts_until_it_is_a_day_old() {
    let mut simulation = Simulation::new(100 * GIB);
    simulation.run(3600, 0.1 * MIB, 1.0);
    simulation.run(1800, 40.0 * MIB, 1.0);
    let noon = simulation.run(12 * 3600, 0.1 * MIB, 1.0);
    // 100 GiB at the batch's 40 MiB a second: 43 minutes, though the day is quiet.
    let left = noon.if_stopped.time().expect("a time").as_secs();
    assert!((2400..2700).contains(&left), "{left} s");
    assert_eq!(noon.danger, Danger::Near);
    let real = simulation.until_lost(40.0 * MIB, 0.0);
    assert!(
        off(noon.if_stopped, real) <= 0.20,
        "the batch comes and the consumer is gone"
    );
    let mut simulation = Simulation::new(100 * GIB);
    simulation.run(1800, 40.0 * MIB, 1.0);
    let later = simulation.run(25 * 3600, 0.1 * MIB, 1.0);
    assert_eq!(later.danger, Danger::None, "{later:?}");
}

#[test]
fn bursts_up_to_the_highest_seen_never_come_sooner_than_forecast() {
    let mut simulation = Simulation::new(40 * GIB);
    for _ in 0..20 {
        simulation.run(900, 30.0 * MIB, 1.0);
        simulation.run(1800, 0.5 * MIB, 1.0);
    }
    let found = simulation.forecast().if_stopped.time().expect("a time");
    let real = simulation.until_lost(30.0 * MIB, 0.0);
    assert!(
        real.as_secs_f64() >= found.as_secs_f64() * 0.9,
        "{real:?} and not {found:?}"
    );
}

fn slot() -> Slot {
    Slot {
        name: "s".into(),
        restart_lsn: Some(Lsn(GIB)),
        ..Slot::default()
    }
}

fn seen(slot: &Slot) -> Observation {
    Observation {
        wal_lsn: Some(Lsn(3 * GIB)),
        slots: vec![slot.clone()],
        ..Observation::default()
    }
}

#[test]
fn the_headroom_is_the_least_of_what_is_known() {
    let mut slot = slot();
    let limits = |budget, free| Limits {
        budget_bytes: budget,
        free_disk_bytes: free,
        reserve_bytes: GIB,
    };
    let found = |slot: &Slot, limits| headroom(&seen(slot), slot, limits);
    let least = |bytes, limit| Some(Headroom { bytes, limit });
    assert_eq!(found(&slot, Limits::default()), None);
    assert_eq!(
        found(&slot, limits(Some(5 * GIB), None)),
        least(3 * GIB, Limit::Budget)
    );
    assert_eq!(
        found(&slot, limits(Some(GIB), None)),
        least(0, Limit::Budget)
    );
    let both = limits(Some(5 * GIB), Some(2 * GIB));
    assert_eq!(found(&slot, both), least(GIB, Limit::Disk));
    slot.safe_wal_size = Some(5);
    assert_eq!(found(&slot, both), least(5, Limit::KeepSize));
    slot.safe_wal_size = Some(-5);
    assert_eq!(found(&slot, both), least(0, Limit::KeepSize));
    slot.safe_wal_size = None;
    slot.wal_status = Some("lost".into());
    assert_eq!(found(&slot, both), least(0, Limit::KeepSize));
}

#[test]
fn on_a_standby_the_settings_count_and_not_what_the_server_computes_there() {
    let mut slot = slot();
    slot.safe_wal_size = Some(1 << 42);
    let mut seen = seen(&slot);
    seen.in_recovery = true;
    let found = |seen: &Observation| headroom(seen, &slot, Limits::default());
    assert_eq!(found(&seen), None, "no limit is set");
    seen.settings.max_slot_wal_keep_size = Some("3GB".into());
    let keep = |bytes| {
        Some(Headroom {
            bytes,
            limit: Limit::KeepSize,
        })
    };
    assert_eq!(found(&seen), keep(GIB));
    seen.settings.wal_keep_size = Some("4GB".into());
    assert_eq!(found(&seen), keep(2 * GIB));
    seen.settings.wal_keep_size = Some("0".into());
    seen.settings.max_slot_wal_keep_size = Some("1GB".into());
    assert_eq!(found(&seen), keep(0));
}

#[test]
fn without_a_limit_or_samples_nothing_is_promised() {
    let slot = slot();
    let without = forecast(&seen(&slot), &slot, &History::new(), Limits::default());
    assert_eq!(without.danger, Danger::Unknown);
    assert_eq!(without.at_trend, TimeLeft::NoLimit);
    let limits = Limits {
        budget_bytes: Some(9 * GIB),
        ..Limits::default()
    };
    let young = forecast(&seen(&slot), &slot, &History::new(), limits);
    assert_eq!(
        (young.at_trend, young.danger),
        (TimeLeft::Unknown, Danger::Unknown)
    );
}

#[test]
fn a_slot_that_never_reserved_log_has_nothing_to_lose() {
    let mut slot = slot();
    slot.restart_lsn = None;
    slot.safe_wal_size = Some(-(1 << 40));
    let found = forecast(&seen(&slot), &slot, &History::new(), Limits::default());
    assert_eq!((found.headroom, found.danger), (None, Danger::None));
    assert_eq!(found.at_trend, TimeLeft::NoLimit);
}

/// Two looks in a quiet moment say nothing of the nightly batch.
#[test]
fn a_short_quiet_time_is_no_promise() {
    let mut slot = slot();
    slot.safe_wal_size = Some(1 << 30);
    let seen = seen(&slot);
    let mut history = History::new();
    let begin = Instant::now();
    for second in [0, 2] {
        history.record(begin + Duration::from_secs(second), &seen, None);
    }
    let found = |slot: &Slot, history: &History| {
        let found = forecast(&seen, slot, history, Limits::default());
        (found.at_trend, found.if_stopped, found.danger)
    };
    let unknown = (TimeLeft::Unknown, TimeLeft::Unknown, Danger::Unknown);
    assert_eq!(found(&slot, &history), unknown);
    slot.safe_wal_size = Some(20 << 20);
    assert_eq!(
        found(&slot, &history).2,
        Danger::Near,
        "2 GiB and 20 MiB left"
    );
    slot.safe_wal_size = Some(1 << 40);
    let never = (TimeLeft::Never, TimeLeft::Never, Danger::None);
    assert_eq!(found(&slot, &history), never, "enough for an hour's burst");
    slot.safe_wal_size = Some(1 << 30);
    history.record(begin + QUARTER, &seen, None);
    assert_eq!(found(&slot, &history), never, "watched for long");
    slot.wal_status = Some("unreserved".into());
    assert_eq!(found(&slot, &history).2, Danger::Near);
}

#[test]
fn an_unused_slot_is_lost_when_the_server_says_so() {
    let mut slot = slot();
    slot.inactive_seconds = Some(3000.0);
    slot.safe_wal_size = Some(i64::MAX);
    let mut seen = seen(&slot);
    seen.settings.idle_replication_slot_timeout = Some("1h".into());
    let mut history = History::new();
    let begin = Instant::now();
    for second in 0..10 {
        history.record(begin + Duration::from_secs(second), &seen, None);
    }
    let found = forecast(&seen, &slot, &history, Limits::default());
    assert_eq!(found.idle_left, Some(Duration::from_secs(600)));
    assert_eq!(found.danger, Danger::Near);
    slot.active = true;
    let used = forecast(&seen, &slot, &history, Limits::default());
    assert_eq!((used.idle_left, used.danger), (None, Danger::None));
}

proptest! {
    /// Less than an hour in either of the times is never shown as no danger.
    #[test]
    fn no_danger_means_an_hour(
        rates in prop::collection::vec((1_u64..200, 0_u8..=10, 1_u64..40), 1..12),
        keep_mib in 1_u64..2_000_000,
    ) {
        let mut simulation = Simulation::new(keep_mib << 20);
        for (rate, reads, minutes) in rates {
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let rate = rate as f64 * MIB / 10.0;
            let found = simulation.run(minutes * 60, rate, f64::from(reads) / 10.0);
            let near = |left: TimeLeft| left.time().is_some_and(|time| time < NEAR);
            if near(found.at_trend) || near(found.if_stopped) {
                prop_assert!(found.danger >= Danger::Near, "{:?}", found);
            }
            prop_assert_eq!(found.danger == Danger::Unknown, false);
        }
    }
}
