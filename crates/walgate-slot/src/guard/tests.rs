use std::time::Duration;

use proptest::prelude::*;

use super::book_tests::{acknowledge, telling};
use super::*;

pub(super) const LOOK: Duration = Duration::from_secs(5);

pub(super) fn dwell() -> Dwell {
    Dwell::default()
}

fn thresholds() -> Thresholds {
    Thresholds::rising(&[100.0, 200.0, 300.0])
}

/// What a slot shows that holds back so many bytes of a budget of 1000.
pub(super) fn facts(retained: u64) -> Facts {
    let mut seen = SlotFacts {
        retained_bytes: Some(retained),
        headroom_bytes: Some(1000_u64.saturating_sub(retained)),
        limit: Some("the budget"),
        lag: Some(Duration::ZERO),
        inactive_for: Some(Duration::ZERO),
        stage: Some(Stage::Reserved),
        ..SlotFacts::default()
    };
    seen.culprit = Some("walgate holds back much: sink kafka is down".to_owned());
    Facts {
        slot: "walgate".to_owned(),
        seen: Some(seen),
        blind_for: Some(Duration::ZERO),
        ..Facts::default()
    }
}

/// Lets a guard look for so long at the same facts.
pub(super) fn look(guard: &mut Guard, now: &mut Instant, time: u64, facts: &Facts) -> Verdict {
    let mut verdict = Verdict::default();
    for _ in 0..=time / LOOK.as_secs() {
        *now += LOOK;
        verdict = guard.judge(*now, facts);
    }
    verdict
}

pub(super) fn guard() -> Guard {
    Guard::new(Rules::default(), dwell(), &Book::default())
}

#[test]
fn a_level_is_reached_after_its_time_and_left_after_a_longer_one() {
    let (mut guard, mut now) = (guard(), Instant::now());
    assert_eq!(
        guard.judge(now, &facts(750)).level(),
        Level::Ok,
        "once seen"
    );
    let verdict = look(&mut guard, &mut now, 10, &facts(750));
    assert_eq!(verdict.server, Level::Warning);
    let first = verdict.standings.first().expect("one");
    assert_eq!((first.rule, first.value), (Rule::Headroom, Some(25.0)));
    assert!(
        first.summary.contains("25 % left until the budget"),
        "{first:?}"
    );
    assert!(
        first
            .culprit
            .as_deref()
            .is_some_and(|why| why.contains("kafka"))
    );
    let verdict = look(&mut guard, &mut now, 20, &facts(980));
    assert_eq!(verdict.server, Level::Emergency);
    // Over the threshold again, but not by enough.
    let verdict = look(&mut guard, &mut now, 600, &facts(690));
    assert_eq!(verdict.server, Level::Warning);
    let verdict = look(&mut guard, &mut now, 60, &facts(100));
    assert_eq!(verdict.server, Level::Warning, "not for long enough");
    let verdict = look(&mut guard, &mut now, 120, &facts(100));
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn one_look_is_one_however_often_it_is_judged() {
    let (mut guard, start) = (guard(), Instant::now());
    let spike = |looked_at| Facts {
        looked_at: Some(looked_at),
        ..facts(980)
    };
    for again in 0..20 {
        let verdict = guard.judge(start + LOOK * again, &spike(start));
        assert_eq!(verdict.level(), Level::Ok, "judged {again} times");
    }
    let mut verdict = Verdict::default();
    for look in 20..23 {
        let now = start + LOOK * look;
        verdict = guard.judge(now, &spike(now));
    }
    assert_eq!(verdict.level(), Level::Emergency);
}

#[test]
fn what_one_sink_alone_has_lost_is_told_of_that_sink() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut facts = facts(0);
    facts.gaps = Some(0);
    let sink = |name: &str, gaps| SinkFacts {
        name: name.to_owned(),
        gaps,
        ..SinkFacts::default()
    };
    facts.sinks = vec![sink("kafka", 1), sink("file", 0)];
    let verdict = look(&mut guard, &mut now, 20, &facts);
    let said: Vec<_> = verdict
        .standings
        .iter()
        .map(|one| (one.rule, one.subject.as_str(), one.level))
        .collect();
    assert_eq!(said, [(Rule::Gap, "kafka", Level::Critical)]);
    assert!(
        verdict.standings[0]
            .summary
            .contains("for sink kafka alone")
    );
    // The slot's own are another alert, also where a sink has its name.
    facts.gaps = Some(1);
    facts.sinks.push(sink("walgate", 2));
    let verdict = look(&mut guard, &mut now, 20, &facts);
    let about: Vec<_> = verdict
        .standings
        .iter()
        .map(|one| one.subject.as_str())
        .collect();
    assert_eq!(about, ["kafka", "sink walgate", "walgate"]);
}

#[test]
fn an_idle_source_and_one_that_nobody_can_see_are_neither_behind_nor_well() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let idle = look(&mut guard, &mut now, 3600, &facts(0));
    assert_eq!(idle, Verdict::default());
    look(&mut guard, &mut now, 60, &facts(980));
    let blind = Facts {
        slot: "walgate".to_owned(),
        blind_for: Some(Duration::from_secs(700)),
        blind_because: Some("connection refused".to_owned()),
        ..Facts::default()
    };
    let verdict = look(&mut guard, &mut now, 3600, &blind);
    assert_eq!(verdict.server, Level::Emergency, "what stood still stands");
    let said: Vec<_> = verdict
        .standings
        .iter()
        .map(|one| one.summary.as_str())
        .collect();
    assert!(said[0].contains("not known at the moment"), "{said:?}");
    assert!(said[1].contains("connection refused"), "{said:?}");
    let fresh = &mut self::guard();
    let verdict = look(fresh, &mut now, 3600, &blind);
    assert_eq!(verdict.level(), Level::Ok, "nothing is known to be bad");
}

#[test]
fn a_heartbeat_is_late_only_where_one_is_written() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut facts = facts(0);
    let late = |seconds| {
        Some(HeartbeatFacts {
            late_for: Some(Duration::from_secs(seconds)),
            kept_by: None,
        })
    };
    facts.heartbeat = late(61);
    let verdict = look(&mut guard, &mut now, 20, &facts);
    let said: Vec<_> = verdict.standings.iter().map(|one| &one.summary).collect();
    assert_eq!(
        said,
        ["a heartbeat was committed 1m 01s ago and has not come back"]
    );
    assert_eq!(verdict.level(), Level::Ok, "no policy acts on it");
    facts.heartbeat = late(601);
    if let Some(heartbeat) = &mut facts.heartbeat {
        heartbeat.kept_by = Some("the role may not".to_owned());
    }
    let verdict = look(&mut guard, &mut now, 20, &facts);
    let first = verdict.standings.first().expect("one");
    assert_eq!(
        (first.rule.name(), first.level),
        ("heartbeat_late", Level::Critical)
    );
    assert_eq!(
        first.summary,
        "no heartbeat could be written for 10m 01s: the role may not"
    );
    facts.heartbeat = late(0);
    look(&mut guard, &mut now, 130, &facts);
    facts.heartbeat = None;
    assert_eq!(look(&mut guard, &mut now, 20, &facts), Verdict::default());
}

#[test]
fn a_sink_and_the_journal_have_their_rules() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut facts = facts(0);
    facts.sinks = vec![SinkFacts {
        name: "kafka".to_owned(),
        required: true,
        down_for: Some(Duration::from_secs(400)),
        last_error: Some("no route to host".to_owned()),
        dead_letters: 3,
        backlog_bytes: Some(2 << 30),
        ..SinkFacts::default()
    }];
    facts.journal = Some(JournalFacts {
        held_bytes: 95,
        budget_bytes: 100,
        ..JournalFacts::default()
    });
    let verdict = look(&mut guard, &mut now, 20, &facts);
    let found: Vec<_> = verdict
        .standings
        .iter()
        .map(|standing| (standing.rule.name(), standing.level.name()))
        .collect();
    assert_eq!(
        found,
        [
            ("sink_down", "critical"),
            ("journal_full", "critical"),
            ("backlog", "warning"),
            ("dead_letters", "warning")
        ]
    );
    assert_eq!(
        (verdict.server, verdict.journal),
        (Level::Ok, Level::Critical)
    );
    let down = &verdict.standings[0];
    assert!(down.summary.contains("no route to host"), "{down:?}");
    facts.sinks.clear();
    facts.journal = None;
    now += LOOK;
    assert_eq!(
        guard.judge(now, &facts),
        Verdict::default(),
        "they are gone"
    );
}

#[test]
fn a_lost_slot_is_an_emergency_and_a_rule_can_be_off() {
    let mut facts = facts(0);
    if let Some(seen) = &mut facts.seen {
        seen.stage = Some(Stage::Lost);
        seen.lost = Some("wal_removed".to_owned());
    }
    let mut now = Instant::now();
    let verdict = look(&mut guard(), &mut now, 20, &facts);
    assert_eq!(verdict.standings[0].level, Level::Emergency);
    assert!(verdict.standings[0].summary.contains("wal_removed"));
    assert_eq!(
        verdict.level(),
        Level::Ok,
        "nothing that is done helps against it"
    );
    let mut rules = Rules::default();
    rules.set(Rule::SlotStatus, &[]);
    let mut off = Guard::new(rules, dwell(), &Book::default());
    assert_eq!(look(&mut off, &mut now, 20, &facts), Verdict::default());
}

fn plan() -> Plan {
    Plan {
        steps: vec![
            Step::Alert,
            Step::Run,
            Step::ReleaseSink("kafka".to_owned()),
            Step::DropSlot,
        ],
        allow_data_loss: true,
        ..Plan::default()
    }
}

fn names(actions: &[Action]) -> Vec<&'static str> {
    let of = actions.iter().map(|action| match action {
        Action::Run(_) => "run",
        Action::ReleaseSink(..) => "release",
        Action::DropSlot(_) => "drop",
    });
    of.collect()
}

#[test]
fn steps_are_taken_in_order_once_and_each_has_time_to_help() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut book = Book::default();
    let mut conditions = Conditions {
        required: vec!["kafka".to_owned()],
        looking_since: now,
        last_loss: None,
    };
    let mut taken = Vec::new();
    let begin = now;
    for _ in 0..60 {
        now += LOOK;
        let verdict = guard.judge(now, &facts(980));
        let actions = plan().decide(now, &verdict, &mut book, &conditions);
        for action in names(&actions) {
            taken.push((action, (now - begin).as_secs()));
            if action != "run" {
                conditions.last_loss = Some(now);
                conditions.required.clear();
            }
        }
        book = Book::from_json(&book.to_json()).expect("what was written");
    }
    assert_eq!(taken, [("run", 15), ("release", 60), ("drop", 120)]);
}

/// What a plan that loses changes does within so many looks.
fn losses(guard: &mut Guard, book: &mut Book, looks: &[Facts]) -> Vec<&'static str> {
    let mut now = Instant::now();
    let conditions = Conditions {
        required: Vec::new(),
        looking_since: now,
        last_loss: None,
    };
    let mut taken = Vec::new();
    for facts in looks {
        now += LOOK;
        let verdict = guard.judge(now, facts);
        let actions = plan().decide(now, &verdict, book, &conditions);
        taken.extend(names(&actions).into_iter().filter(|name| *name != "run"));
    }
    taken
}

/// Looks at each of which so many bytes are held back.
fn looks(retained: impl IntoIterator<Item = u64>) -> Vec<Facts> {
    retained.into_iter().map(facts).collect()
}

#[test]
fn a_level_that_only_stands_is_no_reason_to_lose_anything() {
    let mut book = Book::default();
    // It was let go before the time for a loss was over; the level is left two minutes later.
    let let_go = looks([980; 10].into_iter().chain([100; 60]));
    assert_eq!(losses(&mut guard(), &mut book, &let_go), [""; 0]);
    assert_eq!(losses(&mut guard(), &mut book, &looks([980; 20])), ["drop"]);
    // A process that was started when all was well again.
    let mut now = Instant::now();
    let verdict = look(&mut guard(), &mut now, 60, &facts(980));
    let mut book = Book::default();
    book.update(1000, &verdict.standings, &telling());
    let mut next = Guard::new(Rules::default(), dwell(), &book);
    assert_eq!(losses(&mut next, &mut book, &looks([100; 100])), [""; 0]);
}

#[test]
fn nothing_is_lost_while_what_is_held_back_becomes_less() {
    let mut book = Book::default();
    let falling = (0..100).map(|look| 1000 - look / 10);
    let falls = losses(&mut guard(), &mut book, &looks(falling.clone()));
    assert_eq!(falls, [""; 0]);
    let stuck = falling.chain([990; 30]);
    assert_eq!(losses(&mut guard(), &mut book, &looks(stuck)), ["drop"]);
}

#[test]
fn a_journal_that_opens_is_as_full_as_it_was() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let mut full = facts(0);
    full.journal = Some(JournalFacts {
        held_bytes: 100,
        budget_bytes: 100,
        ..JournalFacts::default()
    });
    let verdict = look(&mut guard, &mut now, 60, &full);
    let mut book = Book::default();
    let notices = book.update(1000, &verdict.standings, &telling());
    acknowledge(&mut book, 1000, &notices);
    let mut next = Guard::new(Rules::default(), dwell(), &book);
    let mut opens = facts(0);
    opens.journal_opens = true;
    let verdict = look(&mut next, &mut now, 300, &opens);
    assert_eq!(verdict.journal, Level::Emergency);
    assert_eq!(book.update(1300, &verdict.standings, &telling()), []);
    let mut without = self::guard();
    let verdict = look(&mut without, &mut now, 300, &opens);
    assert_eq!(verdict, Verdict::default(), "nothing is known to be full");
}

#[test]
fn a_new_process_releases_again_before_it_drops() {
    let mut book = Book::default();
    for step in ["run at critical", "release-sink kafka", "drop-slot"] {
        book.done(step);
    }
    book.begin_process();
    assert!(!book.is_done("release-sink kafka"));
    assert!(book.is_done("run at critical") && book.is_done("drop-slot"));
    assert!(book.take_changed(), "it is kept");
}

#[test]
fn nothing_is_lost_where_that_does_not_help() {
    let with = |change: fn(&mut SlotFacts)| {
        let mut facts = facts(980);
        facts.seen.as_mut().into_iter().for_each(change);
        losses(&mut guard(), &mut Book::default(), &vec![facts; 100])
    };
    assert_eq!(with(|_| {}), ["drop"]);
    // The disk is full of something else.
    assert_eq!(with(|seen| seen.limit = Some("the disk")), [""; 0]);
    let ours = with(|seen| {
        seen.limit = Some("the disk");
        seen.retained_bytes = Some(50 << 30);
    });
    assert_eq!(ours, ["drop"]);
    let lost = with(|seen| {
        seen.stage = Some(Stage::Lost);
        (seen.retained_bytes, seen.headroom_bytes) = (Some(0), Some(0));
    });
    assert_eq!(lost, [""; 0]);
}

#[test]
fn nothing_is_lost_without_leave_nor_for_what_is_not_seen() {
    let (mut guard, mut now) = (guard(), Instant::now());
    let conditions = Conditions {
        required: vec!["kafka".to_owned()],
        looking_since: now,
        last_loss: None,
    };
    let seen = look(&mut guard, &mut now, 300, &facts(980));
    let mut without = plan();
    without.allow_data_loss = false;
    let actions = without.decide(now, &seen, &mut Book::default(), &conditions);
    assert_eq!(names(&actions), ["run"]);
    let blind = Facts {
        slot: "walgate".to_owned(),
        ..Facts::default()
    };
    let stands = look(&mut guard, &mut now, 300, &blind);
    assert_eq!(stands.server, Level::Emergency);
    let actions = plan().decide(now, &stands, &mut Book::default(), &conditions);
    assert_eq!(
        names(&actions),
        ["run"],
        "what stood before is no reason to lose anything"
    );
    let mut journal = facts(0);
    journal.journal = Some(JournalFacts {
        held_bytes: 100,
        budget_bytes: 100,
        ..JournalFacts::default()
    });
    let mut guard = self::guard();
    let verdict = look(&mut guard, &mut now, 300, &journal);
    let mut only_drop = plan();
    only_drop.steps = vec![Step::DropSlot];
    assert_eq!(verdict.journal, Level::Emergency);
    let actions = only_drop.decide(now, &verdict, &mut Book::default(), &conditions);
    assert_eq!(names(&actions), [""; 0], "it frees nothing of the journal");
}

mod drops {
    use walgate_core::Lsn;

    use super::super::*;
    use crate::observation::{Observation, Slot};

    fn ours() -> OurIdentity {
        OurIdentity {
            slot: "walgate".to_owned(),
            database: "shop".to_owned(),
            created_by_us: true,
            confirmed: Lsn(100),
            system_id: 7,
        }
    }

    fn slot(name: &str, restart: u64) -> Slot {
        Slot {
            name: name.to_owned(),
            slot_type: "logical".to_owned(),
            plugin: Some("pgoutput".to_owned()),
            database: Some("shop".to_owned()),
            restart_lsn: Some(Lsn(restart)),
            confirmed_flush_lsn: Some(Lsn(100)),
            ..Slot::default()
        }
    }

    fn seen(slots: Vec<Slot>) -> Observation {
        Observation {
            wal_lsn: Some(Lsn(1000)),
            slots,
            ..Observation::default()
        }
    }

    #[test]
    fn what_is_freed_ends_where_the_next_slot_holds() {
        let alone = seen(vec![slot("walgate", 90)]);
        assert_eq!(may_drop(&alone, Some(7), &ours(), None), Ok(910));
        let younger = seen(vec![slot("walgate", 90), slot("other", 600)]);
        assert_eq!(may_drop(&younger, None, &ours(), None), Ok(510));
        for older in [90, 10] {
            let older = seen(vec![slot("walgate", 90), slot("other", older)]);
            let refused = may_drop(&older, Some(7), &ours(), None);
            let refused = refused.expect_err("refused").to_string();
            assert!(refused.contains("slot other holds back"), "{refused}");
        }
    }

    #[test]
    fn nothing_is_dropped_that_frees_next_to_nothing() {
        // Both wait for the same open transaction.
        let beside = seen(vec![slot("walgate", 90), slot("other", 93)]);
        let refused = may_drop(&beside, Some(7), &ours(), None);
        let refused = refused.expect_err("refused").to_string();
        assert!(refused.contains("only 3 B of 910 B"), "{refused}");
        let mut lost = slot("walgate", 90);
        lost.wal_status = Some("lost".to_owned());
        for restart_lsn in [None, Some(Lsn(90))] {
            lost.restart_lsn = restart_lsn;
            let refused = may_drop(&seen(vec![lost.clone()]), Some(7), &ours(), None);
            assert_eq!(refused, Err(Refusal::HoldsNothing));
        }
    }

    #[test]
    fn nothing_but_our_own_slot_is_ever_dropped() {
        let refused = |change: &dyn Fn(&mut Slot, &mut Observation, &mut OurIdentity)| {
            let (mut slot, mut ours) = (slot("walgate", 90), ours());
            let mut all = seen(Vec::new());
            change(&mut slot, &mut all, &mut ours);
            all.slots.push(slot);
            may_drop(&all, Some(7), &ours, Some(42)).err()
        };
        assert_eq!(refused(&|_, _, _| {}), None);
        assert_eq!(
            refused(&|slot, _, _| slot.name = "other".into()),
            Some(Refusal::Missing)
        );
        assert_eq!(
            refused(&|_, _, ours| ours.created_by_us = false),
            Some(Refusal::NotCreatedByUs)
        );
        type Change = fn(&mut Slot, &mut OurIdentity);
        let foreign: [Change; 6] = [
            |slot, _| slot.plugin = Some("wal2json".into()),
            |slot, _| slot.database = Some("other".into()),
            |slot, _| slot.slot_type = "physical".into(),
            |slot, _| slot.temporary = true,
            |slot, _| slot.confirmed_flush_lsn = Some(Lsn(101)),
            |_, ours| ours.system_id = 8,
        ];
        for change in foreign {
            let refused = refused(&|slot, _, ours| change(slot, ours));
            assert!(matches!(refused, Some(Refusal::NotOurs(_))), "{refused:?}");
        }
        assert_eq!(
            refused(&|_, seen, _| seen.in_recovery = true),
            Some(Refusal::Standby)
        );
        let used_by =
            |pid| refused(&move |slot, _, _| (slot.active, slot.active_pid) = (true, pid));
        assert_eq!(used_by(Some(42)), None, "by ourselves");
        for other in [Some(43), None] {
            assert!(
                matches!(used_by(other), Some(Refusal::InUse(_))),
                "{other:?}"
            );
        }
    }

    #[test]
    fn whether_it_helped_is_known_after_the_next_checkpoint() {
        let settled = |to, redo| Settled::of((100, Lsn(10)), (to, Lsn(redo)));
        assert_eq!(settled(50, 10), Settled::Waiting);
        assert_eq!(settled(50, 11), Settled::Fell { from: 100, to: 50 });
        assert_eq!(settled(100, 11), Settled::Stayed { bytes: 100 });
    }
}

fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        6 => (0.0..500.0).prop_map(Some),
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::INFINITY)),
    ]
}

/// Times between looks: mostly as they should be, sometimes none, sometimes a suspended machine.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1..10_u64, 1 => Just(0), 1 => 30..100_000_u64]
}

proptest! {
    /// A level that has changed does not change back before its dwell is over.
    #[test]
    fn nothing_flaps(looks in prop::collection::vec((value(), pause()), 1..300)) {
        let (mut gauge, mut now) = (Gauge::default(), Instant::now());
        let mut risen = None;
        let mut fallen = None;
        for (value, pause) in looks {
            now += Duration::from_secs(pause);
            let before = gauge.level();
            let level = gauge.observe(now, value, &thresholds(), dwell());
            if level > before {
                prop_assert!(fallen.is_none_or(|at| now - at >= dwell().raise_after));
                risen = Some(now);
            }
            if level < before {
                prop_assert!(risen.is_none_or(|at| now - at >= dwell().settle_after));
                fallen = Some(now);
            }
        }
    }

    /// What is not known, and numbers that are none, change nothing.
    #[test]
    fn the_unknown_changes_nothing(
        looks in prop::collection::vec((value(), pause()), 0..100),
        pauses in prop::collection::vec(pause(), 1..100),
        nan in any::<bool>(),
    ) {
        let (mut gauge, mut now) = (Gauge::default(), Instant::now());
        for (value, pause) in looks {
            now += Duration::from_secs(pause);
            gauge.observe(now, value, &thresholds(), dwell());
        }
        let before = gauge.level();
        for pause in pauses {
            now += Duration::from_secs(pause);
            let unknown = nan.then_some(f64::NAN);
            prop_assert_eq!(gauge.observe(now, unknown, &thresholds(), dwell()), before);
        }
    }

    /// One look is never enough, whatever the clock does in between.
    #[test]
    fn a_jump_of_the_clock_raises_nothing(pauses in prop::collection::vec(61..1_000_000_u64, 1..50)) {
        let (mut gauge, mut now) = (Gauge::default(), Instant::now());
        for pause in pauses {
            now += Duration::from_secs(pause);
            prop_assert_eq!(gauge.observe(now, Some(400.0), &thresholds(), dwell()), Level::Ok);
            // The same look again.
            prop_assert_eq!(gauge.observe(now, Some(400.0), &thresholds(), dwell()), Level::Ok);
        }
    }

    /// Worse values never lead to a better level.
    #[test]
    fn worse_is_never_better(
        looks in prop::collection::vec((0.0..400.0_f64, 0.0..200.0_f64, 1..20_u64), 1..200),
    ) {
        let (mut one, mut other, mut now) = (Gauge::default(), Gauge::default(), Instant::now());
        for (value, more, pause) in looks {
            now += Duration::from_secs(pause);
            let level = one.observe(now, Some(value), &thresholds(), dwell());
            let worse = other.observe(now, Some(value + more), &thresholds(), dwell());
            prop_assert!(worse >= level, "{worse} of {} and {level} of {value}", value + more);
        }
    }

    /// An alert is never raised twice without being over in between, and nothing panics.
    #[test]
    fn an_alert_begins_and_ends_in_turn(
        looks in prop::collection::vec((0..1100_u64, pause(), any::<bool>(), any::<bool>()), 1..200),
    ) {
        let (mut guard, mut now) = (guard(), Instant::now());
        let mut book = Book::default();
        let mut wall = 1_000_000_u64;
        let mut stands = false;
        for (retained, pause, acknowledged, back) in looks {
            now += Duration::from_secs(pause);
            wall = if back { wall.saturating_sub(pause) } else { wall + pause };
            let verdict = guard.judge(now, &facts(retained));
            for notice in book.update(wall, &verdict.standings, &telling()) {
                if notice.rule == "headroom" {
                    prop_assert_eq!(stands, notice.kind != Kind::Raised);
                    stands = notice.kind != Kind::Resolved;
                }
                if acknowledged {
                    acknowledge(&mut book, wall, std::slice::from_ref(&notice));
                }
            }
        }
    }
}
