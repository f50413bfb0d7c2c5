use walgate_core::Lsn;

use super::*;
use crate::observation::{Database, SlotStatistics, Walsender};

const MIB: u64 = 1 << 20;

/// A busy server with one used slot that has confirmed everything, and holds back nothing.
fn sound() -> Observation {
    Observation {
        wal_lsn: Some(Lsn(1000 * MIB)),
        slots: vec![Slot {
            name: "shop".into(),
            slot_type: "logical".into(),
            database: Some("app".into()),
            active: true,
            active_pid: Some(9),
            restart_lsn: Some(Lsn(999 * MIB)),
            confirmed_flush_lsn: Some(Lsn(1000 * MIB)),
            holder_application: Some("walgate".into()),
            ..Slot::default()
        }],
        walsenders: vec![Walsender {
            pid: 9,
            sent_lsn: Some(Lsn(1000 * MIB)),
            ..Walsender::default()
        }],
        ..Observation::default()
    }
}

fn judge(seen: &Observation) -> Culprit {
    judge_with(seen, &History::new(), &[])
}

fn judge_with(seen: &Observation, history: &History, ours: &[OurSlot]) -> Culprit {
    let scene = Scene {
        seen,
        history,
        now: Instant::now(),
        ours,
        hide_queries: false,
    };
    culprit(&scene, &seen.slots[0])
}

fn transaction(xid_age: Option<i64>) -> Transaction {
    Transaction {
        pid: 42,
        usename: Some("app".into()),
        application_name: Some("batch".into()),
        datname: Some("shop".into()),
        state: Some("idle in transaction".into()),
        xid_age,
        seconds: Some(3700.0),
        query: Some("UPDATE t\n SET x = 1".into()),
        ..Transaction::default()
    }
}

/// Has confirmed everything, and would decode again from far back.
fn held_by_transaction() -> Observation {
    let mut seen = sound();
    seen.slots[0].restart_lsn = Some(Lsn(MIB));
    seen
}

/// Has confirmed nothing for long.
fn behind() -> Observation {
    let mut seen = held_by_transaction();
    seen.slots[0].confirmed_flush_lsn = Some(Lsn(2 * MIB));
    seen
}

#[test]
fn nothing_is_held_back() {
    let found = judge(&sound());
    assert_eq!(
        (found.cause.clone(), found.sentence_of()),
        (Cause::Nothing, String::new())
    );
}

impl Culprit {
    fn sentence_of(&self) -> String {
        self.sentence().unwrap_or_default()
    }
}

#[test]
fn an_open_transaction() {
    let mut seen = held_by_transaction();
    seen.transactions = vec![transaction(None), transaction(Some(5000))];
    let found = judge(&seen);
    assert_eq!(
        found.sentence_of(),
        "shop holds back 999 MiB: pid 42 (user app, application \"batch\", database shop) has had \
         a transaction open for 1h 01m and is idle; its statement: UPDATE t SET x = 1"
    );
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("pg_terminate_backend(42)"), "{fix}");
    // On request, and without the right to see it, no statement.
    let scene = Scene {
        seen: &seen,
        history: &History::new(),
        now: Instant::now(),
        ours: &[],
        hide_queries: true,
    };
    let hidden = culprit(&scene, &seen.slots[0]).sentence_of();
    assert!(!hidden.contains("UPDATE"), "{hidden}");
    seen.transactions[1].seconds = None;
    seen.transactions[1].query = Some("<insufficient privilege>".into());
    let blind = judge(&seen).sentence_of();
    assert!(
        blind.contains("it may be that pid 42")
            && blind.ends_with("has had a transaction open and is idle"),
        "{blind}"
    );
    let fix = judge(&seen).fix().expect("a fix");
    assert!(!fix.contains("terminate"), "it may be another: {fix}");
}

/// A slot moves with the snapshots of running transactions: on a busy server it is always behind, and
/// there is always somebody who has just written.
#[test]
fn a_transaction_that_is_younger_than_the_log_is_not_blamed() {
    let mut seen = held_by_transaction();
    seen.transactions = vec![transaction(Some(3))];
    for young in [0.005, 29.0] {
        seen.transactions[0].seconds = Some(young);
        assert_eq!(judge(&seen).word(), "settling", "{young} s");
    }
    seen.transactions[0].seconds = Some(40.0);
    assert_eq!(judge(&seen).word(), "open transaction");
    // Where we have watched for longer, the log is known to be older than that.
    let begin = Instant::now();
    let mut history = History::new();
    let mut before = seen.clone();
    before.wal_lsn = Some(Lsn(2 * MIB));
    history.record(begin, &before, None);
    history.record(begin + Duration::from_secs(60), &seen, None);
    let word = |seen: &Observation| {
        let scene = Scene {
            seen,
            history: &history,
            now: begin + Duration::from_secs(60),
            ours: &[],
            hide_queries: false,
        };
        culprit(&scene, &seen.slots[0])
    };
    assert_eq!(word(&seen).word(), "settling");
    seen.transactions[0].seconds = Some(61.0);
    assert_eq!(word(&seen).word(), "open transaction");
    // The slot begins at the last snapshot before it, which is up to 15 s older.
    seen.transactions[0].seconds = Some(46.0);
    assert_eq!(word(&seen).word(), "open transaction");
    seen.transactions[0].seconds = Some(40.0);
    // When a prepared one began is not known.
    seen.transactions.clear();
    seen.prepared = vec![PreparedTransaction {
        xid_age: Some(9),
        seconds: Some(40.0),
        ..PreparedTransaction::default()
    }];
    let said = word(&seen).sentence_of();
    assert!(said.contains("it may be that the transaction"), "{said}");
    seen.prepared[0].seconds = Some(0.1);
    assert_eq!(word(&seen).word(), "settling");
    // What creation waits for has run since it began.
    seen.prepared.clear();
    seen.transactions = vec![transaction(Some(3))];
    seen.slots[0].confirmed_flush_lsn = None;
    seen.transactions[0].seconds = Some(0.005);
    let Cause::BeingCreated { waits_for, .. } = judge(&seen).cause else {
        panic!("{:?}", judge(&seen));
    };
    assert_eq!(waits_for, None);
}

#[test]
fn a_prepared_transaction_that_is_older() {
    let mut seen = held_by_transaction();
    seen.transactions = vec![transaction(Some(5000))];
    seen.prepared = vec![PreparedTransaction {
        gid: "it's".into(),
        owner: Some("app".into()),
        database: Some("shop".into()),
        xid_age: Some(5001),
        seconds: Some(60.0),
    }];
    let found = judge(&seen);
    assert!(matches!(found.cause, Cause::Prepared { .. }), "{found:?}");
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("ROLLBACK PREPARED 'it''s'"), "{fix}");
    seen.prepared[0].xid_age = Some(10);
    assert_eq!(judge(&seen).word(), "open transaction");
    seen.transactions.clear();
    seen.prepared.clear();
    assert_eq!(judge(&seen).word(), "settling");
}

#[test]
fn a_consumer_that_is_not_there() {
    let mut seen = behind();
    seen.slots[0].active = false;
    assert_eq!(judge(&seen).cause, Cause::Absent { since: None });
    let begin = Instant::now();
    let mut history = History::new();
    history.record(begin, &seen, None);
    let scene = Scene {
        seen: &seen,
        history: &history,
        now: begin + Duration::from_secs(300),
        ours: &[],
        hide_queries: false,
    };
    let watched = culprit(&scene, &seen.slots[0]).cause;
    let since = Some(Duration::from_secs(300));
    assert_eq!(watched, Cause::Absent { since }, "as far as we have seen");
    seen.slots[0].inactive_seconds = Some(7200.0);
    let said = judge(&seen).sentence_of();
    assert_eq!(
        said,
        "shop holds back 999 MiB: nobody has read it for 2h 00m"
    );
}

/// It kept up behind a transaction and died: without a reader nothing moves again, whatever ends.
#[test]
fn a_consumer_that_is_not_there_any_more_though_it_had_confirmed() {
    let mut seen = held_by_transaction();
    seen.slots[0].active = false;
    assert_eq!(judge(&seen).word(), "no consumer");
    seen.transactions = vec![transaction(Some(5000))];
    assert_eq!(judge(&seen).word(), "no consumer");
    // One that asks from time to time is there.
    let begin = Instant::now();
    let mut history = History::new();
    let mut before = seen.clone();
    before.slots[0].confirmed_flush_lsn = Some(Lsn(999 * MIB));
    history.record(begin, &before, None);
    history.record(begin + Duration::from_secs(1), &seen, None);
    let scene = |after| Scene {
        seen: &seen,
        history: &history,
        now: begin + Duration::from_secs(after),
        ours: &[],
        hide_queries: false,
    };
    let word = |after| culprit(&scene(after), &seen.slots[0]).word();
    assert_eq!((word(1), word(1000)), ("open transaction", "no consumer"));
}

#[test]
fn a_copy_on_a_standby_is_never_to_be_dropped_there() {
    let mut seen = behind();
    seen.slots[0].active = false;
    seen.slots[0].synced = true;
    seen.in_recovery = true;
    let found = judge(&seen);
    assert_eq!(found.cause, Cause::Copy);
    assert!(!found.fix().expect("a fix").contains("drop"), "{found:?}");
    // After the promotion it is a slot like any other.
    seen.in_recovery = false;
    assert_eq!(judge(&seen).word(), "no consumer");
}

/// Sessions of a standby write nothing, so that nobody here is to blame, and nothing here helps.
#[test]
fn a_slot_on_a_standby_is_held_by_the_primary() {
    let mut seen = held_by_transaction();
    seen.in_recovery = true;
    let found = judge(&seen);
    assert_eq!(found.cause, Cause::PrimaryTransactions);
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("pg_log_standby_snapshot"), "{fix}");
    seen.slots[0].confirmed_flush_lsn = None;
    let found = judge(&seen);
    assert_eq!(found.word(), "being created");
    assert!(found.sentence_of().contains("the primary"), "{found:?}");
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("pg_log_standby_snapshot"), "{fix}");
}

#[test]
fn a_sink_of_ours() {
    let sink = |name: &str, down, since| OurSink {
        name: name.into(),
        down,
        since: Some(Duration::from_secs(since)),
    };
    let ours = [OurSlot {
        name: "shop".into(),
        sinks: vec![sink("slow", false, 900), sink("kafka", true, 60)],
    }];
    let found = judge_with(&behind(), &History::new(), &ours);
    assert_eq!(
        found.sentence_of(),
        "shop holds back 999 MiB: sink kafka is down for 1m 00s"
    );
    assert!(found.ours);
    let calm = judge_with(&sound(), &History::new(), &ours);
    assert_eq!(calm.cause, Cause::Nothing, "it holds nothing back");
}

#[test]
fn what_a_consumer_has_got_and_what_not() {
    let mut seen = behind();
    assert_eq!(judge(&seen).word(), "not confirmed");
    seen.walsenders[0].sent_lsn = Some(Lsn(3 * MIB));
    seen.walsenders[0].silent_seconds = Some(200.0);
    let found = judge(&seen);
    assert!(
        matches!(found.cause, Cause::NotSent { unsent, silent: Some(_), .. } if unsent == 997 * MIB),
        "{found:?}"
    );
    // The time of its message is the client's own: a clock that is slow is no silence.
    let said = found.sentence_of();
    assert!(
        said.contains("by its own clock") && !said.contains("silent"),
        "{said}"
    );
    // In the middle of a large transaction the position says that everything was sent.
    seen.walsenders[0].sent_lsn = Some(Lsn(1000 * MIB));
    seen.walsenders[0].wait_event = Some("WalSenderWriteData".into());
    let said = judge(&seen).sentence_of();
    assert!(said.contains("the server waits until"), "{said}");
}

#[test]
fn idle_tables_beside_a_busy_database() {
    let begin = Instant::now();
    let mut history = History::new();
    let mut seen = behind();
    for second in 0..10 {
        seen.wal_lsn = Some(Lsn((100 + 100 * second) * MIB));
        seen.statistics = vec![SlotStatistics {
            name: "shop".into(),
            total_bytes: 12,
            ..SlotStatistics::default()
        }];
        seen.databases = vec![Database {
            name: "analytics".into(),
            rows_written: second as i64,
        }];
        history.record(begin + Duration::from_secs(second), &seen, None);
    }
    let found = judge_with(&seen, &history, &[]);
    let busy = Some("analytics".to_owned());
    assert_eq!(found.cause, Cause::IdleTables { busy });
    let said = found.sentence_of();
    assert!(
        said.contains("confirms nothing while database analytics is busy"),
        "{said}"
    );
    // A walsender that passes nothing may be in the middle of what is wanted.
    seen.walsenders[0].sent_lsn = Some(Lsn(540 * MIB));
    assert_eq!(judge_with(&seen, &history, &[]).word(), "not confirmed");
}

/// It was sent much and confirms nothing, and nothing is written just now: it is stuck, not idle.
#[test]
fn two_quiet_seconds_are_no_idle_tables() {
    let begin = Instant::now();
    let look = |seen: &mut Observation, history: &mut History, second, total_bytes| {
        seen.wal_lsn = Some(Lsn((997 + second) * MIB));
        seen.statistics = vec![SlotStatistics {
            name: "shop".into(),
            total_bytes,
            ..SlotStatistics::default()
        }];
        history.record(begin + Duration::from_secs(second), seen, None);
    };
    let mut seen = behind();
    let mut history = History::new();
    look(&mut seen, &mut history, 0, 12);
    look(&mut seen, &mut history, 3, 12);
    assert_eq!(judge_with(&seen, &history, &[]).word(), "not confirmed");
    // Statistics that are reset, or not there, say nothing.
    let mut seen = behind();
    seen.slots[0].restart_lsn = Some(Lsn(900 * MIB));
    seen.slots[0].confirmed_flush_lsn = Some(Lsn(901 * MIB));
    for (first, then) in [(Some(12), Some(3)), (None, Some(3)), (Some(3), None)] {
        let mut history = History::new();
        for (second, total_bytes) in [(0, first), (97, then)] {
            look(&mut seen, &mut History::new(), 0, total_bytes.unwrap_or(0));
            seen.wal_lsn = Some(Lsn((903 + second) * MIB));
            if total_bytes.is_none() {
                seen.statistics.clear();
            }
            history.record(begin + Duration::from_secs(second), &seen, None);
        }
        assert_eq!(judge_with(&seen, &history, &[]).word(), "not confirmed");
    }
}

#[test]
fn a_standby_that_failover_slots_wait_for() {
    let mut seen = behind();
    seen.settings.synchronized_standby_slots = Some("ghost, sleepy, fine".into());
    let physical = |name: &str, active, at| Slot {
        name: name.into(),
        slot_type: "physical".into(),
        active,
        restart_lsn: Some(Lsn(at)),
        ..Slot::default()
    };
    seen.slots.push(physical("sleepy", false, 500 * MIB));
    seen.slots.push(physical("fine", true, 1000 * MIB));
    assert_ne!(judge(&seen).word(), "standby", "it is no failover slot");
    seen.slots[0].failover = true;
    let said = judge(&seen).sentence_of();
    assert!(
        said.contains("ghost, which does not exist; sleepy, which nobody uses")
            && !said.contains("fine"),
        "{said}"
    );
}

/// A consumer that was sent everything and confirms nothing waits for no standby.
#[test]
fn a_standby_is_blamed_only_where_the_walsender_waits_for_it() {
    let mut seen = behind();
    seen.slots[0].failover = true;
    seen.settings.synchronized_standby_slots = Some("burst".into());
    seen.slots.push(Slot {
        name: "burst".into(),
        slot_type: "physical".into(),
        active: true,
        restart_lsn: Some(Lsn(900 * MIB)),
        ..Slot::default()
    });
    assert_eq!(judge(&seen).word(), "not confirmed");
    seen.walsenders[0].wait_event = Some("WaitForStandbyConfirmation".into());
    assert_eq!(judge(&seen).word(), "standby");
    // Where that is hidden, what was not sent may be waiting.
    seen.walsenders[0].wait_event = None;
    seen.walsenders[0].sent_lsn = Some(Lsn(900 * MIB));
    assert_eq!(judge(&seen).word(), "standby");
    seen.walsenders[0].wait_event = Some("WalSenderMain".into());
    assert_eq!(judge(&seen).word(), "not confirmed");
}

#[test]
fn another_slot_that_holds_back_more() {
    let mut seen = behind();
    seen.slots[0].restart_lsn = Some(Lsn(900 * MIB));
    seen.slots[0].active = false;
    seen.slots.push(Slot {
        name: "old".into(),
        slot_type: "logical".into(),
        database: Some("other".into()),
        restart_lsn: Some(Lsn(0)),
        ..Slot::default()
    });
    let said = judge(&seen).sentence_of();
    assert!(
        said.ends_with(
            "; slot old (an unused logical slot of database other) holds back 0.98 GiB all the same"
        ),
        "{said}"
    );
}

#[test]
fn creation_copies_and_loss() {
    let mut seen = behind();
    seen.slots[0].confirmed_flush_lsn = None;
    seen.transactions = vec![transaction(Some(9))];
    assert_eq!(judge(&seen).word(), "being created");
    let mut seen = behind();
    seen.slots[0].name = "pg_16394_sync_16385_7301239".into();
    assert_eq!(judge(&seen).word(), "snapshot");
    assert!(!is_of_table_copy("pg_16394_sync"));
    let mut seen = behind();
    seen.slots[0].invalidation_reason = Some("idle_timeout".into());
    let found = judge(&seen);
    assert_eq!(found.word(), "lost");
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("idle_replication_slot_timeout"), "{fix}");
}
