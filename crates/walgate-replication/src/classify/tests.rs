//! Every row of the catalogue of server errors, with the reaction that it must get.

use std::time::Duration;

use walgate_connection::ServerError;
use walgate_core::{Lsn, StopReason};

use super::{Reaction, Sound, classify, skips_publication};
use crate::verdict::{Expected, SlotRow, Verdict, judge};

/// Letters of the catalogue: what must happen in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Must {
    /// Retry with back-off.
    Retry,
    /// Retry for a time or a number of times, then stop.
    RetryThen(StopReason),
    /// Wait for whoever has the slot.
    Wait,
    /// The slot's row, given with the case, decides.
    Probe,
    /// Changes are lost.
    Lost,
    /// Stop with this reason.
    Stop(StopReason),
    /// Data or protocol.
    Data,
    /// Already as wanted.
    Done,
    /// Say it and go on.
    Surface,
    /// The publication did not exist then.
    Publication,
}

fn error(severity: &str, sqlstate: &str, routine: &str, message: &str) -> ServerError {
    ServerError {
        severity: severity.to_owned(),
        sqlstate: sqlstate.to_owned(),
        routine: Some(routine.to_owned()),
        message: message.to_owned(),
        ..ServerError::default()
    }
}

fn must(reaction: Reaction) -> Must {
    match reaction {
        Reaction::Retry | Reaction::RetrySlowly => Must::Retry,
        Reaction::RetryFor(_, reason) | Reaction::RetryTimes(_, reason) => Must::RetryThen(reason),
        Reaction::Wait => Must::Wait,
        Reaction::Probe(_) => Must::Probe,
        Reaction::Lost => Must::Lost,
        Reaction::Publication => Must::Publication,
        Reaction::Stop(reason) => Must::Stop(reason),
        Reaction::Data => Must::Data,
        Reaction::Done => Must::Done,
        Reaction::Surface => Must::Surface,
    }
}

const CONFIG: Must = Must::Stop(StopReason::Config);
const PERMISSION: Must = Must::Stop(StopReason::Permission);

/// Number in the catalogue, severity, SQLSTATE, C routine, text, what must happen. Rows 27 and 28
/// are lines of the server's log and 53 is a server that does not start: no client sees them; row
/// 29 is the end of the connection without an error.
#[rustfmt::skip]
const CASES: &[(u32, &str, &str, &str, &str, Must)] = &[
    (1, "ERROR", "55006", "ReplicationSlotAcquire", "replication slot \"s\" is active for PID 7", Must::Wait),
    (2, "ERROR", "42704", "ReplicationSlotAcquire", "replication slot \"s\" does not exist", Must::Probe),
    (3, "ERROR", "42710", "ReplicationSlotCreate", "replication slot \"s\" already exists", Must::Probe),
    (4, "ERROR", "55000", "CreateDecodingContext", "can no longer get changes from replication slot \"s\"", Must::Probe),
    (5, "ERROR", "55000", "StartLogicalReplication", "cannot read from logical replication slot \"s\"", Must::Probe),
    (6, "ERROR", "55000", "ReplicationSlotAcquire", "can no longer access replication slot \"s\"", Must::Probe),
    (7, "ERROR", "55000", "ReplicationSlotAcquire", "… due to \"idle_timeout\"", Must::Probe),
    (8, "ERROR", "55000", "ReplicationSlotAcquire", "… due to \"rows_removed\"", Must::Probe),
    (9, "ERROR", "55000", "pg_replication_slot_advance", "replication slot \"s\" cannot be advanced", Must::Probe),
    (10, "ERROR", "55000", "pg_replication_slot_advance", "cannot advance replication slot to 0/1, minimum is 0/2", Must::Probe),
    (11, "ERROR", "55000", "CreateDecodingContext", "replication slot \"s\" was not created in this database", Must::Probe),
    (12, "ERROR", "55000", "CreateDecodingContext", "cannot use physical replication slot for logical decoding", Must::Probe),
    (13, "ERROR", "53400", "ReplicationSlotCreate", "all replication slots are in use", CONFIG),
    (14, "ERROR", "42602", "ReplicationSlotValidateName", "replication slot name \"S\" contains invalid character", CONFIG),
    (15, "ERROR", "58P01", "internal_load_library", "could not access file \"nope\": No such file or directory", CONFIG),
    (16, "ERROR", "42501", "LoadOutputPlugin", "library \"wal2json\" may not be used as an output plugin", CONFIG),
    (17, "ERROR", "55000", "CreateDecodingContext", "cannot use replication slot \"s\" for logical decoding", Must::Probe),
    (18, "ERROR", "55000", "ReplicationSlotDrop", "cannot drop replication slot \"s\"", Must::Surface),
    (19, "ERROR", "0A000", "ReplicationSlotCreate", "cannot enable failover for a temporary replication slot", CONFIG),
    (20, "ERROR", "XX000", "parseCreateReplSlotOptions", "unrecognized option: failover", Must::Data),
    (21, "ERROR", "25001", "CreateInitDecodingContext", "cannot create logical replication slot in transaction that has performed writes", Must::Data),
    (22, "ERROR", "55P03", "ProcessInterrupts", "canceling statement due to lock timeout", Must::Retry),
    (23, "ERROR", "57014", "ProcessInterrupts", "canceling statement due to statement timeout", Must::Retry),
    (24, "ERROR", "55000", "aurora", "replication slots cannot be used on RO (Read Only) node", Must::Probe),
    (25, "ERROR", "58P01", "XLogReaderSegmentOpen", "requested WAL segment 000000010000000000000001 has already been removed", Must::Lost),
    (26, "ERROR", "XX000", "DecodingContextFindStartpoint", "could not find logical decoding starting point", Must::RetryThen(StopReason::Gap)),
    (30, "FATAL", "57P01", "ProcessInterrupts", "terminating connection due to administrator command", Must::Probe),
    (31, "WARNING", "57P02", "quickdie", "terminating connection because of crash of another server process", Must::Surface),
    (31, "FATAL", "57P02", "quickdie", "terminating connection because of crash of another server process", Must::Retry),
    (32, "FATAL", "57P03", "ProcessStartupPacket", "the database system is starting up", Must::Retry),
    (33, "FATAL", "40001", "ProcessInterrupts", "terminating connection due to conflict with recovery", Must::Probe),
    (34, "ERROR", "40001", "ProcessInterrupts", "canceling statement due to conflict with recovery", Must::Probe),
    (35, "FATAL", "53300", "InitWalSenderSlot", "number of requested standby connections exceeds max_wal_senders (currently 1)", Must::RetryThen(StopReason::Config)),
    (35, "FATAL", "53300", "InitProcess", "number of requested standby connections exceeds max_wal_senders (currently 1)", Must::RetryThen(StopReason::Config)),
    (36, "FATAL", "53300", "InitPostgres", "remaining connection slots are reserved for roles with the SUPERUSER attribute", Must::Retry),
    (37, "FATAL", "25P03", "ProcessInterrupts", "terminating connection due to idle-in-transaction timeout", Must::Retry),
    (38, "FATAL", "25P04", "ProcessInterrupts", "terminating connection due to transaction timeout", Must::Retry),
    (39, "FATAL", "57P05", "ProcessInterrupts", "terminating connection due to idle-session timeout", Must::Retry),
    (40, "FATAL", "28P01", "auth_failed", "password authentication failed for user \"u\"", Must::RetryThen(StopReason::Permission)),
    (41, "FATAL", "28000", "auth_failed", "PAM authentication failed for user \"u\"", Must::RetryThen(StopReason::Permission)),
    (42, "FATAL", "28000", "ClientAuthentication", "no pg_hba.conf entry for replication connection from host \"h\", user \"u\", no encryption", PERMISSION),
    (43, "FATAL", "28000", "InitializeSessionUserId", "role \"u\" does not exist", PERMISSION),
    (44, "FATAL", "3D000", "InitPostgres", "database \"d\" does not exist", CONFIG),
    (45, "FATAL", "08P01", "pgbouncer", "unsupported startup parameter: replication", CONFIG),
    (46, "ERROR", "08P01", "forbidden_in_wal_sender", "extended query protocol not supported in a replication connection", Must::Data),
    (47, "ERROR", "55000", "CheckLogicalDecodingRequirements", "logical decoding requires a database connection", Must::Probe),
    (48, "FATAL", "42501", "InitPostgres", "must be superuser or replication role to start walsender", PERMISSION),
    (49, "ERROR", "42501", "CheckSlotPermissions", "permission denied to use replication slots", PERMISSION),
    (50, "ERROR", "42501", "rds_check", "must be superuser or replication role to use logical replication slots in the 'rds' namespace", PERMISSION),
    (51, "ERROR", "55000", "CheckLogicalDecodingRequirements", "logical decoding requires wal_level >= logical", Must::Probe),
    (52, "ERROR", "0A000", "CheckLogicalDecodingRequirements", "logical decoding cannot be used while in recovery", Must::Probe),
    (54, "ERROR", "42501", "CreatePublication", "must be superuser to create FOR ALL TABLES publication", PERMISSION),
    (55, "ERROR", "42501", "aclcheck_error", "permission denied for database d", PERMISSION),
    (56, "ERROR", "42501", "aclcheck_error", "must be owner of table t", PERMISSION),
    (57, "ERROR", "42501", "aclcheck_error", "must be owner of publication p", PERMISSION),
    (58, "ERROR", "42501", "aclcheck_error", "permission denied for table t", PERMISSION),
    (59, "WARNING", "55000", "CreatePublication", "wal_level is insufficient to publish logical changes", Must::Surface),
    (60, "ERROR", "42704", "get_publication_oid", "publication \"p\" does not exist", Must::Publication),
    (61, "WARNING", "55000", "LoadPublications", "skipped loading publication \"p\"", Must::Publication),
    (62, "ERROR", "42710", "CreatePublication", "publication \"p\" already exists", Must::Done),
    (62, "ERROR", "42710", "publication_add_relation", "relation \"t\" is already member of publication \"p\"", Must::Done),
    (63, "ERROR", "22023", "check_publication_add_relation", "cannot add relation \"v\" to publication", CONFIG),
    (64, "ERROR", "55000", "CheckCmdReplicaIdentity", "cannot update table \"t\" because it does not have a replica identity and publishes updates", CONFIG),
    (65, "ERROR", "42P10", "CheckCmdReplicaIdentity", "cannot update table \"t\"", CONFIG),
    (66, "ERROR", "0A000", "pgoutput_startup", "client sent proto_version=9 but we only support protocol 3 or lower", Must::Data),
    (67, "ERROR", "22023", "pgoutput_startup", "requested proto_version=1 does not support streaming, need 2 or higher", Must::Data),
    (68, "ERROR", "XX000", "parse_output_parameters", "unrecognized pgoutput option: origin", Must::Data),
    (69, "ERROR", "0A000", "pgoutput_column_list_init", "cannot use different column lists for table \"s.t\" in different publications", CONFIG),
    (70, "ERROR", "22023", "ImportSnapshot", "invalid snapshot identifier: \"x\"", Must::Retry),
    (70, "ERROR", "42704", "ImportSnapshot", "snapshot \"x\" does not exist", Must::Retry),
    (71, "WARNING", "22023", "StandbySlotsHaveCaughtup", "replication slot \"g\" specified in parameter \"synchronized_standby_slots\" does not exist", Must::Surface),
    (72, "ERROR", "55000", "pg_current_wal_lsn", "recovery is in progress", Must::Probe),
    (72, "ERROR", "XX000", "XLogBeginInsert", "cannot make new WAL entries during recovery", Must::Probe),
    (72, "ERROR", "25006", "PreventCommandIfReadOnly", "cannot execute INSERT in a read-only transaction", Must::Probe),
    (73, "ERROR", "53100", "FileWrite", "could not write to file \"pg_replslot/s/xid-1\": No space left on device", Must::Retry),
    (74, "ERROR", "XX000", "MemoryContextAlloc", "invalid memory alloc request size 1073741824", Must::Data),
    (75, "ERROR", "54000", "enlargeStringInfo", "out of memory", Must::Data),
    (76, "ERROR", "40P01", "DeadLockReport", "deadlock detected", Must::Retry),
    (77, "ERROR", "22021", "report_invalid_encoding", "invalid byte sequence for encoding \"UTF8\": 0xff", Must::Data),
];

#[test]
fn every_error_of_the_catalogue_gets_its_reaction() {
    for (number, severity, sqlstate, routine, message, expected) in CASES {
        let class = classify(&error(severity, sqlstate, routine, message));
        assert_eq!(must(class.reaction), *expected, "row {number}: {message}");
    }
    let missing: Vec<u32> = (1..=72)
        .filter(|row| ![27, 28, 29, 53].contains(row))
        .filter(|row| !CASES.iter().any(|case| case.0 == *row))
        .collect();
    assert!(missing.is_empty(), "rows without a case: {missing:?}");
}

#[test]
fn the_text_does_not_matter() {
    for (number, severity, sqlstate, routine, message, _) in CASES {
        let english = classify(&error(severity, sqlstate, routine, message));
        let german = classify(&error(
            severity,
            sqlstate,
            routine,
            "der Server sagt etwas anderes",
        ));
        assert_eq!(english, german, "row {number}");
    }
}

#[test]
fn what_must_not_be_repeated_for_ever_is_not() {
    let senders = classify(&error("FATAL", "53300", "InitWalSenderSlot", ""));
    assert_eq!(
        senders.reaction,
        Reaction::RetryFor(Duration::from_secs(120), StopReason::Config)
    );
    let password = classify(&error("FATAL", "28P01", "auth_failed", ""));
    assert_eq!(
        password.reaction,
        Reaction::RetryTimes(3, StopReason::Permission)
    );
    let backwards = classify(&error("ERROR", "55000", "pg_replication_slot_advance", ""));
    assert_eq!(backwards.reaction, Reaction::Probe(Sound::Data));
}

#[test]
fn a_skipped_publication_is_told_by_its_routine() {
    assert!(skips_publication(&error(
        "WARNING",
        "55000",
        "LoadPublications",
        "übersprungen"
    )));
    assert!(!skips_publication(&error(
        "WARNING",
        "55000",
        "CreatePublication",
        ""
    )));
    assert!(!skips_publication(&error(
        "WARNING",
        "22023",
        "LoadPublications",
        ""
    )));
}

fn row() -> SlotRow {
    SlotRow {
        slot_type: "logical".to_owned(),
        plugin: "pgoutput".to_owned(),
        database: "d".to_owned(),
        confirmed_flush_lsn: Some(Lsn(100)),
        wal_status: Some("reserved".to_owned()),
        ..SlotRow::default()
    }
}

fn expected() -> Expected<'static> {
    Expected {
        database: "d",
        identity: None,
        position: Some(Lsn(100)),
        system_id: Some(1),
        in_recovery: false,
        wal_level: "logical",
        epoch: 0,
    }
}

/// The rows of the catalogue that say "probe": what the slot's row makes of them.
#[test]
fn the_row_decides_what_the_error_left_open() {
    let look = |row: Option<&SlotRow>| judge(row, &expected());
    // 2, and 30 when the slot was dropped.
    assert_eq!(look(None), Verdict::Missing);
    // 30, 24 when nothing is wrong: a restart.
    assert_eq!(look(Some(&row())), Verdict::Sound);
    // 4, 5, 30 and 33: invalidated while in use looks like a restart.
    let lost = SlotRow {
        wal_status: Some("lost".to_owned()),
        ..row()
    };
    assert_eq!(look(Some(&lost)), Verdict::Lost("wal_removed".to_owned()));
    // 7, 8.
    for why in ["idle_timeout", "rows_removed", "wal_level_insufficient"] {
        let lost = SlotRow {
            invalidation: Some(why.to_owned()),
            ..row()
        };
        assert_eq!(look(Some(&lost)), Verdict::Lost(why.to_owned()));
    }
    // 5 says "invalidated" of a physical slot, too; 12.
    let physical = SlotRow {
        slot_type: "physical".to_owned(),
        wal_status: Some("lost".to_owned()),
        ..row()
    };
    assert!(matches!(look(Some(&physical)), Verdict::Unusable(why) if why.contains("physical")));
}

#[test]
fn the_row_tells_a_wrong_slot_and_a_wrong_server() {
    let look = |row: Option<&SlotRow>| judge(row, &expected());
    // 11.
    let other = SlotRow {
        database: "e".to_owned(),
        ..row()
    };
    assert!(matches!(look(Some(&other)), Verdict::Unusable(why) if why.contains("database e")));
    // 3: adopted only when it is of the right kind.
    let plugin = SlotRow {
        plugin: "test_decoding".to_owned(),
        ..row()
    };
    assert!(matches!(look(Some(&plugin)), Verdict::Unusable(why) if why.contains("test_decoding")));
    let two_phase = SlotRow {
        two_phase: true,
        ..row()
    };
    assert!(matches!(look(Some(&two_phase)), Verdict::Unusable(why) if why.contains("two_phase")));
}

#[test]
fn the_row_tells_a_gap_a_rival_and_a_failover() {
    let look = |row: Option<&SlotRow>| judge(row, &expected());
    // 27: the server would go on behind the gap without a word.
    let ahead = SlotRow {
        confirmed_flush_lsn: Some(Lsn(101)),
        active: true,
        ..row()
    };
    assert_eq!(
        look(Some(&ahead)),
        Verdict::Ahead {
            from: Lsn(100),
            to: Lsn(101)
        }
    );
    // Behind the checkpoint is normal: a server may forget the last confirmations.
    let behind = SlotRow {
        confirmed_flush_lsn: Some(Lsn(40)),
        ..row()
    };
    assert_eq!(look(Some(&behind)), Verdict::Sound);
    // 1.
    let active = SlotRow {
        active: true,
        active_pid: Some(7),
        ..row()
    };
    assert_eq!(look(Some(&active)), Verdict::Active(Some(7)));
    // 17, 52: a failover is under way.
    let standby = Expected {
        in_recovery: true,
        ..expected()
    };
    assert_eq!(judge(None, &standby), Verdict::Standby);
    assert_eq!(
        judge(
            Some(&SlotRow {
                synced: true,
                ..row()
            }),
            &standby
        ),
        Verdict::Standby
    );
    assert_eq!(judge(Some(&row()), &standby), Verdict::Sound);
    // 51.
    let replica = Expected {
        wal_level: "replica",
        ..expected()
    };
    assert_eq!(
        judge(Some(&row()), &replica),
        Verdict::WalLevel("replica".to_owned())
    );
}

#[test]
fn another_system_is_taken_only_with_a_raised_epoch() {
    let identity = walgate_core::SourceIdentity {
        system_id: 2,
        timeline: 1,
        epoch: 3,
        slot: "s".to_owned(),
        consistent_point: Lsn(1),
        created_by_us: false,
    };
    let same = Expected {
        identity: Some(&identity),
        epoch: 3,
        ..expected()
    };
    assert_eq!(
        judge(Some(&row()), &same),
        Verdict::OtherSystem {
            found: 1,
            expected: 2
        }
    );
    let raised = Expected {
        epoch: 4,
        position: Some(Lsn(1)),
        ..same
    };
    assert_eq!(judge(Some(&row()), &raised), Verdict::Sound);
}
