//! What the slot's row and the server's identity say, before anything is asked of the slot.

use walgate_core::{Lsn, SourceIdentity};

/// A row of `pg_replication_slots`, as far as this server's version has the columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlotRow {
    /// `physical` or `logical`.
    pub(crate) slot_type: String,
    /// The output plugin.
    pub(crate) plugin: String,
    /// The database it belongs to.
    pub(crate) database: String,
    /// Ends with its connection.
    pub(crate) temporary: bool,
    /// Somebody streams from it.
    pub(crate) active: bool,
    /// Who.
    pub(crate) active_pid: Option<i32>,
    /// WAL is kept from here.
    pub(crate) restart_lsn: Option<Lsn>,
    /// Everything that commits below it was confirmed.
    pub(crate) confirmed_flush_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(crate) wal_status: Option<String>,
    /// Decodes prepared transactions.
    pub(crate) two_phase: bool,
    /// 17 and later: why it was invalidated. 16: `conflict` when it conflicts with recovery.
    pub(crate) invalidation: Option<String>,
    /// 17 and later: a copy of the primary's slot.
    pub(crate) synced: bool,
    /// 17 and later: copied to standbys.
    pub(crate) failover: bool,
}

/// What is compared with the row.
#[derive(Debug, Clone)]
pub(crate) struct Expected<'a> {
    /// The database that we are connected to.
    pub(crate) database: &'a str,
    /// Whose log our position means; none before the first start.
    pub(crate) identity: Option<&'a SourceIdentity>,
    /// Everything that commits below it was handed on or is durable: where we would start.
    pub(crate) position: Option<Lsn>,
    /// `systemid` of the server.
    pub(crate) system_id: Option<u64>,
    /// The server replays another's log.
    pub(crate) in_recovery: bool,
    /// `wal_level` of the server.
    pub(crate) wal_level: &'a str,
    /// The configured epoch.
    pub(crate) epoch: u8,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is wrong.
    Sound,
    /// Another server answers, and the epoch was not raised.
    OtherSystem {
        /// What it is.
        found: u64,
        /// What we know.
        expected: u64,
    },
    /// A standby whose slot is a copy, or has none yet: a failover is under way.
    Standby,
    /// There is no such slot.
    Missing,
    /// It can't be used: what is wrong.
    Unusable(String),
    /// It was invalidated: why.
    Lost(String),
    /// It is ahead of us.
    Ahead {
        /// Where we are.
        from: Lsn,
        /// Where it is.
        to: Lsn,
    },
    /// `wal_level` is too low: what it is.
    WalLevel(String),
    /// Somebody streams from it.
    Active(Option<i32>),
}

/// Decides, in this order: another system, a standby, no slot, a wrong slot, a lost slot, a slot
/// ahead of us, a slot in use.
pub(crate) fn judge(row: Option<&SlotRow>, expected: &Expected<'_>) -> Verdict {
    if let (Some(identity), Some(found)) = (expected.identity, expected.system_id)
        && identity.system_id != found
        && expected.epoch <= identity.epoch
    {
        return Verdict::OtherSystem {
            found,
            expected: identity.system_id,
        };
    }
    if expected.in_recovery && row.is_none_or(|row| row.synced) {
        return Verdict::Standby;
    }
    if expected.wal_level != "logical" {
        return Verdict::WalLevel(expected.wal_level.to_owned());
    }
    let Some(row) = row else {
        return Verdict::Missing;
    };
    if let Some(wrong) = wrong_kind(row, expected) {
        return Verdict::Unusable(wrong);
    }
    if let Some(why) = lost(row) {
        return Verdict::Lost(why);
    }
    if let (Some(from), Some(to)) = (expected.position, row.confirmed_flush_lsn) {
        let raised = expected
            .identity
            .is_some_and(|identity| expected.epoch > identity.epoch);
        if to > from && !raised {
            return Verdict::Ahead { from, to };
        }
    }
    if row.active {
        Verdict::Active(row.active_pid)
    } else {
        Verdict::Sound
    }
}

fn wrong_kind(row: &SlotRow, expected: &Expected<'_>) -> Option<String> {
    if row.slot_type != "logical" {
        return Some("it is a physical slot".to_owned());
    }
    if row.plugin != "pgoutput" {
        return Some(format!("its plugin is {}, not pgoutput", row.plugin));
    }
    if row.database != expected.database {
        let Expected { database, .. } = expected;
        return Some(format!(
            "it belongs to database {}, and this is {database}",
            row.database
        ));
    }
    if row.two_phase {
        return Some("it decodes prepared transactions (two_phase)".to_owned());
    }
    row.temporary
        .then(|| "it is another connection's temporary slot".to_owned())
}

fn lost(row: &SlotRow) -> Option<String> {
    if let Some(why) = row.invalidation.as_deref().filter(|why| !why.is_empty()) {
        return Some(why.to_owned());
    }
    (row.wal_status.as_deref() == Some("lost")).then(|| "wal_removed".to_owned())
}

/// What to change so that it does not happen again.
pub(crate) fn prevention(why: &str) -> &'static str {
    match why {
        "idle_timeout" => "raise idle_replication_slot_timeout above the longest planned downtime",
        "rows_removed" | "conflict" => "set hot_standby_feedback = on on the standby",
        "wal_level_insufficient" => "set wal_level = logical again",
        _ => "raise max_slot_wal_keep_size, or be down for less long",
    }
}
