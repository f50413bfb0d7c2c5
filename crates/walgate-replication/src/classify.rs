//! One table: what the server says, and what we do.
//!
//! SQLSTATE 55000 alone has a dozen meanings, from "try again" to "never", and texts may be in the
//! server's language. So the table decides on SQLSTATE, severity and the C routine that raised the
//! error, and where those leave a doubt, it says [`Reaction::Probe`]: the slot's row decides
//! ([`crate::verdict`]).

use std::time::Duration;

use walgate_connection::ServerError;
use walgate_core::StopReason;

/// What we do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Try again, with back-off.
    Retry,
    /// Try again for so long; then it needs a human.
    RetryFor(Duration, StopReason),
    /// Try again so many times; then it needs a human. More would lock an account.
    RetryTimes(u32, StopReason),
    /// Try again, but slowly: each attempt costs the server.
    RetrySlowly,
    /// Somebody else must let go of the slot.
    Wait,
    /// Look at the slot's row. If nothing is wrong with it, do this.
    Probe(Sound),
    /// The slot is lost, and changes with it.
    Lost,
    /// The publication did not exist at this point of the log.
    Publication,
    /// It needs a human.
    Stop(StopReason),
    /// Data or protocol: the same again at the same place, three times, needs a human.
    Data,
    /// What was asked for is there already.
    Done,
    /// Not an error: say it and go on.
    Surface,
}

/// What to do when the slot's row is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    /// Try again, with back-off.
    Retry,
    /// Try again for a while; then it needs a human.
    RetryFor(Duration, StopReason),
    /// As [`Reaction::Data`].
    Data,
}

/// The entry of the table that an error matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    /// What we do.
    pub(crate) reaction: Reaction,
    /// What a human does about it; empty where nothing is to be done, or the verdict says it.
    pub(crate) hint: &'static str,
}

/// A failover is over in this time, or it is none.
const FAILOVER: Duration = Duration::from_secs(5 * 60);
/// Our own dead connections are gone by then.
const WALSENDERS: Duration = Duration::from_secs(2 * 60);
/// A wrong password may be one that is just being rotated; more attempts might lock the account.
const PASSWORD_ATTEMPTS: u32 = 3;

struct Row(
    &'static str,
    &'static [&'static str],
    Reaction,
    &'static str,
);

const ANY: &[&str] = &[];
const CONFIG: Reaction = Reaction::Stop(StopReason::Config);
const PERMISSION: Reaction = Reaction::Stop(StopReason::Permission);
const PROBE: Reaction = Reaction::Probe(Sound::Retry);
const PROBE_DATA: Reaction = Reaction::Probe(Sound::Data);
const PROBE_FAILOVER: Reaction = Reaction::Probe(Sound::RetryFor(FAILOVER, StopReason::Config));
const DIRECT: &str =
    "a connection pooler or proxy can't replicate: use the direct endpoint of the server";
const PGOUTPUT: &str = "the slot must use pgoutput: drop it and create it with that plugin";
const REPLICATION: &str =
    "on RDS: GRANT rds_replication TO the user; elsewhere: ALTER ROLE … REPLICATION";
const WAL_LEVEL: &str = "set wal_level = logical and restart; on RDS: rds.logical_replication = 1 in the parameter group, then reboot";

/// The first row that fits decides. Sources: `src/backend/replication`, `src/backend/postmaster`,
/// `src/backend/tcop` and `src/backend/commands` of PostgreSQL 14 to 18.
#[rustfmt::skip]
const ERRORS: &[Row] = &[
    // Slots.
    Row("55006", ANY, Reaction::Wait, "another connection uses the slot: stop it, or use a slot of your own"),
    Row("42704", &["ReplicationSlotAcquire", "ReplicationSlotDrop", "SearchNamedReplicationSlot"], PROBE, ""),
    Row("42704", &["get_publication_oid", "GetPublicationByName", "LoadPublications"], Reaction::Publication, ""),
    Row("42704", &["ImportSnapshot"], Reaction::Retry, ""),
    Row("42710", &["ReplicationSlotCreate"], PROBE, ""),
    Row("42710", &["CreatePublication", "publication_add_relation", "publication_add_schema"], Reaction::Done, ""),
    Row("53400", ANY, CONFIG, "free a replication slot that nobody needs (SELECT * FROM pg_replication_slots), or raise max_replication_slots and restart"),
    Row("42602", ANY, CONFIG, "slot names have lower-case letters, digits and underscores, at most 63 of them"),
    Row("58P01", &["internal_load_library", "expand_dynamic_library_name", "LoadOutputPlugin", "load_external_function"], CONFIG, PGOUTPUT),
    Row("58P01", ANY, Reaction::Lost, ""),
    Row("42501", &["LoadOutputPlugin", "check_output_plugin_library"], CONFIG, PGOUTPUT),
    Row("55000", &["ReplicationSlotDrop", "ReplicationSlotDropAcquired"], Reaction::Surface, ""),
    Row("55000", &["CheckLogicalDecodingRequirements"], PROBE_DATA, WAL_LEVEL),
    Row("0A000", &["CheckLogicalDecodingRequirements"], PROBE_FAILOVER, "connect to the primary"),
    Row("55000", &["CheckCmdReplicaIdentity"], CONFIG, "ALTER TABLE … REPLICA IDENTITY, or publish only inserts of this table"),
    Row("55000", &["pg_replication_slot_advance", "LogicalSlotAdvanceAndCheckReadyForSync"], PROBE_DATA, ""),
    Row("55000", ANY, PROBE_FAILOVER, ""),
    Row("0A000", &["ReplicationSlotCreate"], CONFIG, "set failover = false for this slot"),
    Row("0A000", &["check_and_init_gencol", "pgoutput_column_list_init", "fetch_relation_list"], CONFIG, "give the table the same column list in all publications of this slot"),
    Row("25001", ANY, Reaction::Data, ""),
    Row("55P03", ANY, Reaction::Retry, "an older transaction is in the way: SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start"),
    Row("57014", ANY, Reaction::Retry, ""),
    Row("XX000", &["DecodingContextFindStartpoint", "WalSndSegmentOpen"], Reaction::RetryFor(Duration::from_secs(10), StopReason::Gap), "the slot can't be decoded from: drop it and create it anew"),
    // Connection, shutdown, limits.
    Row("57P01", ANY, PROBE, ""),
    Row("40001", ANY, PROBE, ""),
    Row("40P01", ANY, Reaction::Retry, ""),
    Row("53300", &["InitWalSenderSlot", "InitWalSender", "InitProcess"], Reaction::RetryFor(WALSENDERS, StopReason::Config), "raise max_wal_senders, or stop a replication connection that nobody needs (SELECT * FROM pg_stat_replication)"),
    Row("53300", ANY, Reaction::Retry, "raise max_connections, or the connection limit of the role"),
    Row("53100", ANY, Reaction::RetrySlowly, "the disk of the source is full"),
    Row("25P03", ANY, Reaction::Retry, ""),
    Row("25P04", ANY, Reaction::Retry, ""),
    Row("28P01", ANY, Reaction::RetryTimes(PASSWORD_ATTEMPTS, StopReason::Permission), "check the password; with RDS IAM the token of a replication connection needs rds.iam_auth_for_replication = 1"),
    Row("28000", &["auth_failed"], Reaction::RetryTimes(PASSWORD_ATTEMPTS, StopReason::Permission), "check user and token; with RDS IAM a replication connection needs rds.iam_auth_for_replication = 1"),
    Row("28000", &["ClientAuthentication"], PERMISSION, "allow the connection in pg_hba.conf (replication has entries of its own on databases named replication); if it says no encryption, use sslmode=require"),
    Row("28000", ANY, PERMISSION, "check the user: it must exist and have LOGIN"),
    Row("3D000", ANY, CONFIG, "the database is gone or misspelt; slots of a dropped database went with it"),
    Row("08P01", &["forbidden_in_wal_sender"], Reaction::Data, ""),
    Row("08P01", ANY, CONFIG, DIRECT),
    // Rights and configuration.
    Row("42501", &["InitPostgres", "CheckSlotPermissions", "check_permissions", "CreateReplicationSlot"], PERMISSION, REPLICATION),
    Row("42501", &["CreatePublication", "AlterPublicationOwner_internal"], PERMISSION, "list the tables instead: FOR ALL TABLES needs a superuser"),
    Row("42501", &["aclcheck_error"], PERMISSION, "grant what the message names: CREATE ON DATABASE for a publication, ownership for a table in it, SELECT for a snapshot"),
    Row("42501", ANY, PERMISSION, REPLICATION),
    // Publications, tables, pgoutput.
    Row("22023", &["check_publication_add_relation"], CONFIG, "a publication takes ordinary and partitioned tables only"),
    Row("22023", &["ImportSnapshot"], Reaction::Retry, ""),
    Row("42P10", ANY, CONFIG, "column list and row filter must cover the replica identity"),
    Row("25006", ANY, PROBE_FAILOVER, "connect to the primary"),
    Row("XX000", &["XLogBeginInsert", "XLogInsert"], PROBE_FAILOVER, "connect to the primary"),
    // A row that can't be sent, or not converted to UTF-8.
    Row("54000", ANY, Reaction::Data, "a row of more than 1 GB can't be decoded"),
    Row("22021", ANY, Reaction::Data, "a text is not valid in the encoding of the database"),
    Row("22P05", ANY, Reaction::Data, "a text can't be converted to UTF-8"),
    Row("42883", ANY, Reaction::Data, ""),
];

/// Classes of SQLSTATE, for what has no row of its own.
const CLASSES: &[Row] = &[
    Row("08", ANY, Reaction::Retry, ""),
    Row("40", ANY, Reaction::Retry, ""),
    Row("53", ANY, Reaction::Retry, ""),
    Row("57", ANY, Reaction::Retry, ""),
    Row("58", ANY, Reaction::Retry, ""),
    Row("55", ANY, PROBE, ""),
];

/// Classifies what the server said: an error, or a notice while streaming.
pub(crate) fn classify(error: &ServerError) -> Class {
    if !is_error(&error.severity) {
        return notice(error);
    }
    let fits = |row: &&Row| {
        let routine = error.routine.as_deref().unwrap_or_default();
        row.0 == error.sqlstate && (row.1.is_empty() || row.1.contains(&routine))
    };
    let class = |row: &&Row| !error.sqlstate.is_empty() && error.sqlstate.starts_with(row.0);
    let row = ERRORS
        .iter()
        .find(fits)
        .or_else(|| CLASSES.iter().find(class));
    // Whatever it is, the same again at the same place, three times, will not go away.
    row.map_or(
        Class {
            reaction: Reaction::Data,
            hint: "",
        },
        |row| Class {
            reaction: row.2,
            hint: row.3,
        },
    )
}

/// Whether a notice says that the server has left out a publication: its changes are skipped, and
/// whoever confirms a later position has lost them.
pub(crate) fn skips_publication(notice: &ServerError) -> bool {
    !is_error(&notice.severity)
        && notice.sqlstate == "55000"
        && notice.routine.as_deref() == Some("LoadPublications")
}

fn notice(notice: &ServerError) -> Class {
    if skips_publication(notice) {
        return Class {
            reaction: Reaction::Publication,
            hint: "",
        };
    }
    let blocked = notice.routine.as_deref() == Some("StandbySlotsHaveCaughtup");
    let hint = if blocked {
        "delivery waits for a standby: check synchronized_standby_slots"
    } else {
        ""
    };
    Class {
        reaction: Reaction::Surface,
        hint,
    }
}

fn is_error(severity: &str) -> bool {
    matches!(severity, "ERROR" | "FATAL" | "PANIC" | "")
}

#[cfg(test)]
mod tests;
