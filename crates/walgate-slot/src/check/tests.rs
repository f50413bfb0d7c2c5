use std::time::{Duration, Instant};

use walgate_core::{Checkpoint, Lsn, SourceIdentity};

use super::*;
use crate::observation::{PreparedTransaction, Slot, Transaction, Walsender};
use crate::watcher::Provider;

fn server() -> Server {
    Server {
        version_num: 170_004,
        version: "17.4".into(),
        role: "walgate".into(),
        database: "shop".into(),
        sees_everything: true,
        may_replicate: true,
        system_id: None,
        provider: Provider::SelfManaged,
        endpoint: "db:5432".into(),
        encrypted: true,
    }
}

/// A server with nothing to complain about.
fn sound() -> Observation {
    let mut seen = Observation {
        wal_lsn: Some(Lsn(1 << 40)),
        ..Observation::default()
    };
    let set = |text: &str| Some(text.to_owned());
    seen.settings.wal_level = set("logical");
    seen.settings.max_slot_wal_keep_size = set("64GB");
    seen.settings.max_wal_senders = set("10");
    seen.settings.max_replication_slots = set("10");
    seen.settings.wal_sender_timeout = set("1min");
    seen.settings.synchronous_standby_names = set("");
    seen
}

fn facts() -> Facts {
    Facts {
        publications: vec![Publication {
            name: "p".into(),
            insert: true,
            update: true,
            delete: true,
            truncate: true,
            ..Publication::default()
        }],
        tables: vec![PublishedTable {
            schema: "public".into(),
            name: "orders".into(),
            identity: "d".into(),
            publishes_changes: true,
            readable: true,
            ..PublishedTable::default()
        }],
        logical_decoding_work_mem: Some("64MB".into()),
        ..Facts::default()
    }
}

fn relation(name: &str) -> Relation {
    Relation {
        schema: "public".into(),
        name: name.into(),
    }
}

fn wanted() -> Wanted {
    Wanted {
        slot: Some("s".into()),
        publications: vec!["p".into()],
        tables: vec![("public".into(), "orders".into())],
        ..Wanted::default()
    }
}

fn judge(server: &Server, seen: &Observation, facts: &Facts, wanted: &Wanted) -> Vec<Finding> {
    judge_with(server, seen, facts, wanted, None)
}

fn judge_with(
    server: &Server,
    seen: &Observation,
    facts: &Facts,
    wanted: &Wanted,
    remembered: Option<&Remembered>,
) -> Vec<Finding> {
    let identified = Identified {
        system_id: 7,
        timeline: 1,
    };
    let begin = Instant::now();
    let mut history = History::new();
    for (second, back) in [(0, 10_000), (10, 0)] {
        let mut seen = seen.clone();
        seen.wal_lsn = seen.wal_lsn.map(|lsn| Lsn(lsn.0.saturating_sub(back)));
        history.record(begin + Duration::from_secs(second), &seen, None);
    }
    check(&Subject {
        server,
        seen,
        history: &history,
        facts,
        replication: Ok(Some(identified)),
        remembered,
        wanted,
    })
}

/// The checks that don't pass, with their level.
fn troubles(findings: &[Finding]) -> Vec<(&'static str, Level)> {
    let not = findings.iter().filter(|one| one.level != Level::Pass);
    not.map(|one| (one.check, one.level)).collect()
}

fn statements(findings: &[Finding]) -> Vec<&str> {
    let all = findings.iter().flat_map(|one| &one.statements);
    all.map(String::as_str).collect()
}

fn fix(findings: &[Finding], check: &str) -> String {
    let found = findings
        .iter()
        .find(|one| one.check == check && one.level != Level::Pass);
    found
        .and_then(|one| one.fix.clone())
        .unwrap_or_else(|| panic!("no trouble with {check}: {findings:?}"))
}

#[test]
fn a_server_that_is_ready() {
    let findings = judge(&server(), &sound(), &facts(), &wanted());
    assert_eq!(troubles(&findings), []);
    for finding in findings {
        assert!(
            finding.why.is_none() && finding.fix.is_none(),
            "{finding:?}"
        );
    }
}

/// A server with everything wrong that there is, on RDS.
fn everything_wrong() -> (Server, Observation, Facts) {
    let mut server = server();
    server.provider = Provider::Rds;
    server.may_replicate = false;
    server.sees_everything = false;
    let mut seen = sound();
    seen.settings.wal_level = Some("replica".into());
    seen.settings.max_slot_wal_keep_size = Some("-1".into());
    seen.settings.max_replication_slots = Some("0".into());
    seen.settings.max_wal_senders = Some("1".into());
    seen.settings.wal_sender_timeout = Some("5s".into());
    seen.settings.idle_replication_slot_timeout = Some("1h".into());
    seen.settings.synchronous_standby_names = Some("*".into());
    seen.walsenders = vec![Walsender::default()];
    seen.transactions = vec![Transaction {
        pid: 7,
        xid_age: Some(3),
        seconds: Some(4000.0),
        ..Transaction::default()
    }];
    seen.prepared = vec![PreparedTransaction {
        gid: "a".into(),
        seconds: Some(4000.0),
        ..PreparedTransaction::default()
    }];
    let mut facts = facts();
    facts.pending_restart = vec!["wal_level".into()];
    facts.output_plugin_libraries = Some("test_decoding".into());
    facts.limits = vec![LongSetting {
        name: "idle_session_timeout".into(),
        value: "1min".into(),
        of_role: true,
        of_database: true,
    }];
    facts.pooled = true;
    facts.logical_decoding_work_mem = Some("64kB".into());
    facts.may_emit = Some(false);
    (server, seen, facts)
}

#[test]
fn all_problems_of_a_server_at_once_in_the_words_of_its_provider() {
    let (server, seen, facts) = everything_wrong();
    let beating = Wanted {
        heartbeat: true,
        ..wanted()
    };
    let findings = judge(&server, &seen, &facts, &beating);
    let expected = [
        ("wal_level", Level::Fail),
        ("max_slot_wal_keep_size", Level::Fail),
        ("max_wal_senders", Level::Fail),
        ("wal_sender_timeout", Level::Warn),
        ("idle_replication_slot_timeout", Level::Warn),
        ("synchronous_standby_names", Level::Warn),
        ("logical_decoding_work_mem", Level::Warn),
        ("open_transactions", Level::Warn),
        ("prepared_transactions", Level::Warn),
        ("output_plugin", Level::Fail),
        ("pending_restart", Level::Warn),
        ("role", Level::Fail),
        ("statistics", Level::Warn),
        ("pooler", Level::Fail),
        ("session_limits", Level::Warn),
        ("heartbeat", Level::Fail),
        ("max_replication_slots", Level::Fail),
    ];
    assert_eq!(troubles(&findings), expected);
    let level = fix(&findings, "wal_level");
    assert!(
        level.contains("rds.logical_replication = 1; then reboot"),
        "{level}"
    );
    assert_eq!(fix(&findings, "role"), "GRANT rds_replication TO walgate");
    for (check, number) in [
        ("max_slot_wal_keep_size", "max_slot_wal_keep_size = 51200 "),
        ("idle_replication_slot_timeout", "_timeout = 259200"),
        ("output_plugin", "= test_decoding,pgoutput"),
    ] {
        let fix = fix(&findings, check);
        assert!(fix.contains(number), "{fix}");
    }
    let limits = fix(&findings, "session_limits");
    assert!(
        limits.starts_with("ALTER ROLE walgate IN DATABASE shop SET idle_session_timeout = 0,"),
        "{limits}"
    );
    assert!(
        !statements(&findings)
            .iter()
            .any(|one| one.contains("timeout")),
        "it may be the role of an application"
    );
    let accepted = Wanted {
        accept_unlimited: true,
        ..wanted()
    };
    let findings = judge(&server, &seen, &facts, &accepted);
    let limit = ("max_slot_wal_keep_size", Level::Warn);
    assert!(
        troubles(&findings).contains(&limit),
        "it is known: {findings:?}"
    );
}

#[test]
fn advice_is_valid_sql_and_no_blind_rollback() {
    let mut server = server();
    server.may_replicate = false;
    server.sees_everything = false;
    server.role = "svc@project.iam".into();
    let mut seen = sound();
    seen.prepared = vec![PreparedTransaction {
        gid: "a".into(),
        seconds: Some(4000.0),
        ..PreparedTransaction::default()
    }];
    let findings = judge(&server, &seen, &facts(), &wanted());
    for (check, statement) in [
        ("role", "ALTER ROLE \"svc@project.iam\" REPLICATION"),
        ("statistics", "GRANT pg_monitor TO \"svc@project.iam\""),
    ] {
        assert_eq!(fix(&findings, check), statement);
    }
    let prepared = fix(&findings, "prepared_transactions");
    assert!(
        prepared.contains("COMMIT PREPARED 'a' or ROLLBACK PREPARED 'a'"),
        "{prepared}"
    );
}

#[test]
fn a_limit_that_is_soon_reached() {
    let mut seen = sound();
    seen.settings.max_slot_wal_keep_size = Some("10MB".into());
    // 1,000 bytes a second: 10 MB are less than 3 hours.
    let findings = judge(&server(), &seen, &facts(), &wanted());
    assert_eq!(
        troubles(&findings),
        [("max_slot_wal_keep_size", Level::Warn)]
    );
}

#[test]
fn a_slot_that_is_not_what_it_should_be_and_others() {
    let mut seen = sound();
    let slot = |name: &str, held: u64| Slot {
        name: name.into(),
        slot_type: "logical".into(),
        plugin: Some("pgoutput".into()),
        database: Some("shop".into()),
        restart_lsn: Some(Lsn((1 << 40) - held)),
        ..Slot::default()
    };
    seen.slots = vec![slot("s", 5), slot("orphan", 1 << 30), slot("fresh", 5)];
    seen.slots[2].catalog_xmin_age = Some(60_000_000);
    seen.settings.synchronized_standby_slots = Some("ghost".into());
    let findings = judge(&server(), &seen, &facts(), &wanted());
    let expected = [
        ("other_slots", Level::Warn),
        ("catalog_xmin", Level::Warn),
        ("synchronized_standby_slots", Level::Fail),
    ];
    assert_eq!(troubles(&findings), expected);
    let drop = fix(&findings, "other_slots");
    assert!(drop.contains("walgate slots drop orphan"), "{drop}");
    seen.slots.truncate(1);
    seen.settings.synchronized_standby_slots = None;
    let wrong: [fn(&mut Slot); 5] = [
        |slot| slot.invalidation_reason = Some("wal_removed".into()),
        |slot| slot.slot_type = "physical".into(),
        |slot| slot.plugin = Some("wal2json".into()),
        |slot| slot.database = Some("other".into()),
        |slot| slot.two_phase = true,
    ];
    for break_it in wrong {
        let mut seen = seen.clone();
        break_it(&mut seen.slots[0]);
        let findings = judge(&server(), &seen, &facts(), &wanted());
        assert_eq!(
            troubles(&findings),
            [("slot", Level::Fail)],
            "{:?}",
            seen.slots
        );
    }
}

#[test]
fn a_copy_on_a_standby_is_no_orphan() {
    let mut seen = sound();
    let end = seen.wal_lsn.expect("a position");
    seen.slots.push(Slot {
        name: "other".into(),
        slot_type: "logical".into(),
        synced: true,
        restart_lsn: Some(Lsn(end.0.saturating_sub(1 << 30))),
        ..Slot::default()
    });
    seen.wal_lsn = Some(Lsn(end.0 + (1 << 30)));
    let orphans = |seen: &Observation| {
        let findings = judge(&server(), seen, &facts(), &wanted());
        troubles(&findings).contains(&("other_slots", Level::Warn))
    };
    assert!(
        orphans(&seen),
        "after the promotion it is a slot like any other"
    );
    seen.in_recovery = true;
    assert!(!orphans(&seen));
}

#[test]
fn publications_and_tables() {
    let mut none = Facts::default();
    let orders = UnpublishedTable {
        schema: "public".into(),
        name: "orders".into(),
        kind: Some("r".into()),
        persistence: Some("p".into()),
        has_identity: Some(true),
    };
    none.unpublished = vec![orders.clone()];
    let findings = judge(&server(), &sound(), &none, &wanted());
    assert_eq!(troubles(&findings), [("publication", Level::Fail)]);
    let create = "CREATE PUBLICATION p FOR TABLE public.orders";
    assert_eq!(fix(&findings, "publication"), create);
    assert_eq!(statements(&findings), [create]);

    let mut lacking = facts();
    lacking.tables[0].name = "more".into();
    lacking.unpublished = vec![
        orders.clone(),
        UnpublishedTable {
            name: "keyless".into(),
            has_identity: Some(false),
            ..orders.clone()
        },
        UnpublishedTable {
            name: "scratch".into(),
            persistence: Some("u".into()),
            ..orders
        },
    ];
    let findings = judge(&server(), &sound(), &lacking, &wanted());
    let expected = [
        ("tables", Level::Fail),
        ("tables", Level::Fail),
        ("more_tables", Level::Warn),
    ];
    assert_eq!(troubles(&findings), expected);
    let unlogged = findings.iter().find(|one| one.check == "tables");
    assert!(unlogged.is_some_and(|one| one.seen.contains("is unlogged")));
    let add = "ALTER PUBLICATION p ADD TABLE public.orders";
    assert_eq!(statements(&findings), [add], "a keyless table is not added");

    let mut facts = facts();
    facts.publications[0].delete = false;
    facts.publications[0].all_tables = true;
    facts.tables[0].unidentified = vec![relation("orders")];
    facts.tables[0].candidate = Some("Orders_idx".into());
    facts.tables[0].large_values = true;
    facts.tables[0].generated = true;
    facts.tables[0].partition = true;
    let findings = judge(&server(), &sound(), &facts, &wanted());
    let expected = [
        ("publication", Level::Warn),
        ("publication", Level::Warn),
        ("replica_identity", Level::Fail),
        ("large_values", Level::Warn),
        ("generated_columns", Level::Warn),
        ("partitions", Level::Warn),
    ];
    assert_eq!(troubles(&findings), expected);
    assert_eq!(
        fix(&findings, "replica_identity"),
        "ALTER TABLE public.orders REPLICA IDENTITY USING INDEX \"Orders_idx\""
    );
    // Where only inserts are published nobody needs one.
    facts.tables[0].publishes_changes = false;
    let findings = judge(&server(), &sound(), &facts, &wanted());
    assert!(!troubles(&findings).contains(&("replica_identity", Level::Fail)));
}

#[test]
fn plain_text_is_for_this_machine_only() {
    let mut plain = server();
    plain.encrypted = false;
    let judged = |server: &Server| troubles(&judge(server, &sound(), &facts(), &wanted()));
    assert_eq!(judged(&plain), [("encryption", Level::Warn)]);
    for local in ["127.0.0.1:5432", "localhost:5432 (::1)", "/run/postgresql"] {
        plain.endpoint = local.into();
        assert_eq!(judged(&plain), [], "{local}");
    }
}

#[test]
fn a_standby() {
    let mut seen = sound();
    seen.in_recovery = true;
    let level =
        |server: &Server, seen: &Observation| troubles(&judge(server, seen, &facts(), &wanted()));
    assert_eq!(
        level(&server(), &seen),
        [("primary", Level::Fail)],
        "feedback is off"
    );
    seen.settings.hot_standby_feedback = Some("on".into());
    assert_eq!(level(&server(), &seen), [("primary", Level::Warn)]);
    let mut old = server();
    old.version_num = 150_000;
    assert_eq!(level(&old, &seen), [("primary", Level::Fail)]);
}

#[test]
fn a_replica_identity_is_changed_only_for_who_names_the_table() {
    let mut facts = facts();
    facts.tables[0].unidentified = vec![relation("orders")];
    let findings = judge(&server(), &sound(), &facts, &wanted());
    let found = findings.iter().find(|one| one.level == Level::Fail);
    let found = found.expect("a failure");
    assert_eq!(found.only_for.as_deref(), Some("public.orders"));
    assert_eq!(
        found.statements,
        ["ALTER TABLE public.orders REPLICA IDENTITY FULL"]
    );
    // A partition's is its own.
    facts.tables[0].unidentified = vec![relation("orders_1")];
    facts.tables[0].name = "Orders".into();
    let findings = judge(&server(), &sound(), &facts, &wanted());
    let found = findings.iter().find(|one| one.check == "replica_identity");
    let found = found.expect("a failure");
    assert_eq!(
        found.only_for.as_deref(),
        Some("public.\"Orders\""),
        "in the words of SQL: a.b.c is two tables"
    );
    assert_eq!(
        found.statements,
        ["ALTER TABLE public.orders_1 REPLICA IDENTITY FULL"]
    );
}

#[test]
fn filters_and_lists_that_miss_the_identity() {
    let mut facts = facts();
    facts.tables[0].outside_identity = vec![
        OutsideIdentity {
            column: "state".into(),
            filter: true,
        },
        OutsideIdentity {
            column: "id".into(),
            filter: false,
        },
    ];
    let findings = judge(&server(), &sound(), &facts, &wanted());
    let columns = ("publication_columns", Level::Fail);
    assert_eq!(troubles(&findings), [columns, columns]);
}

#[test]
fn a_certificate_that_nobody_verifies() {
    let wanted = Wanted {
        unverified: true,
        ..wanted()
    };
    let findings = judge(&server(), &sound(), &facts(), &wanted);
    assert_eq!(troubles(&findings), [("encryption", Level::Warn)]);
}

#[test]
fn what_is_remembered_against_what_is_there() {
    let slot = |confirmed| Slot {
        name: "s".into(),
        slot_type: "logical".into(),
        plugin: Some("pgoutput".into()),
        database: Some("shop".into()),
        confirmed_flush_lsn: Some(Lsn(confirmed)),
        ..Slot::default()
    };
    let known = |system_id, timeline| Remembered::Checkpoint {
        checkpoint: Box::new(Checkpoint {
            source: SourceIdentity {
                system_id,
                timeline,
                epoch: 0,
                slot: "s".into(),
                consistent_point: Lsn::ZERO,
                created_by_us: true,
            },
            confirmed: Lsn(100),
            sinks: std::collections::BTreeMap::new(),
            received: None,
            gaps: Vec::new(),
        }),
        epoch: 0,
    };
    let judged = |slots: Vec<Slot>, remembered: &Remembered| {
        let mut seen = sound();
        seen.slots = slots;
        let found = judge_with(&server(), &seen, &facts(), &wanted(), Some(remembered));
        troubles(&found)
    };
    let none: [(&str, Level); 0] = [];
    assert_eq!(judged(vec![slot(90)], &known(7, 1)), none);
    assert_eq!(judged(vec![slot(100)], &known(7, 1)), none);
    let gap = [("checkpoint", Level::Fail)];
    assert_eq!(judged(vec![slot(101)], &known(7, 1)), gap);
    assert_eq!(judged(Vec::new(), &known(7, 1)), gap, "the slot is gone");
    let other = [("system_identifier", Level::Fail)];
    assert_eq!(judged(vec![slot(90)], &known(8, 1)), other);
    assert_eq!(
        judged(vec![slot(90)], &known(7, 2)),
        [("timeline", Level::Warn)]
    );
    let nothing = Remembered::Nothing { place: "x".into() };
    assert_eq!(
        judged(vec![slot(90)], &nothing),
        [("checkpoint", Level::Warn)]
    );
    assert_eq!(judged(Vec::new(), &nothing), none);
    let damaged = Remembered::Unreadable {
        error: "it is damaged".into(),
        hint: None,
    };
    assert_eq!(judged(vec![slot(90)], &damaged), gap);
}

#[test]
fn a_publication_that_may_be_younger_than_the_slot() {
    let mut seen = sound();
    seen.slots = vec![Slot {
        name: "s".into(),
        slot_type: "logical".into(),
        plugin: Some("pgoutput".into()),
        database: Some("shop".into()),
        catalog_xmin_age: Some(10),
        ..Slot::default()
    }];
    let mut facts = facts();
    let judged =
        |seen: &Observation, facts: &Facts| troubles(&judge(&server(), seen, facts, &wanted()));
    facts.publications[0].age = Some(11);
    assert_eq!(judged(&seen, &facts), []);
    facts.publications[0].age = Some(9);
    assert_eq!(judged(&seen, &facts), [("publication_age", Level::Warn)]);
    seen.slots[0].active = true;
    assert_eq!(judged(&seen, &facts), [], "it is read");
}

/// `--database-flags` is the whole set: the advice must not turn logical decoding off.
#[test]
fn a_flag_of_cloud_sql_is_set_beside_the_others() {
    let mut server = server();
    server.provider = Provider::CloudSql;
    let mut seen = sound();
    seen.settings.max_slot_wal_keep_size = Some("-1".into());
    let fix = fix(
        &judge(&server, &seen, &facts(), &wanted()),
        "max_slot_wal_keep_size",
    );
    assert!(
        fix.contains("FLAGS,max_slot_wal_keep_size=51200,") && fix.contains("databaseFlags"),
        "{fix}"
    );
}

#[test]
fn commits_that_wait_for_walgate() {
    const CHECK: &str = "synchronous_standby_names";
    let named = Wanted {
        application_name: Some("walgate".into()),
        ..wanted()
    };
    let level = |names: &str, seen: &Observation, wanted: &Wanted| {
        let mut seen = seen.clone();
        seen.settings.synchronous_standby_names = Some(names.into());
        let findings = judge(&server(), &seen, &facts(), wanted);
        let found = findings.iter().find(|one| one.check == CHECK);
        found.expect("the check").level
    };
    for (names, expected) in [
        ("", Level::Pass),
        ("walgate", Level::Fail),
        ("FIRST 1 (s1, Walgate)", Level::Fail),
        ("ANY 1 (\"walgate\")", Level::Fail),
        ("2 (s1, s2)", Level::Pass),
        ("walgate2, my_walgate", Level::Pass),
        ("*", Level::Warn),
    ] {
        assert_eq!(level(names, &sound(), &named), expected, "{names}");
    }
    // Under a name that the check does not know, the server does.
    let mut seen = sound();
    seen.slots = vec![Slot {
        name: "s".into(),
        active: true,
        active_pid: Some(9),
        ..Slot::default()
    }];
    for (state, expected) in [("async", Level::Pass), ("potential", Level::Fail)] {
        seen.walsenders = vec![Walsender {
            pid: 9,
            sync_state: Some(state.into()),
            ..Walsender::default()
        }];
        assert_eq!(level("other", &seen, &wanted()), expected, "{state}");
    }
}
