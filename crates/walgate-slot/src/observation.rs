//! What a look at the server has found.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use walgate_core::Lsn;

use crate::setting;

/// Everything that one look has found, from one snapshot of the statistics.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Observation {
    /// The server's clock, in seconds since 1970.
    pub at: f64,
    /// When the server was started, in seconds since 1970.
    pub started_at: f64,
    /// It replays another server's log.
    pub in_recovery: bool,
    /// The end of the log: what is written, on a standby what is received.
    #[serde(deserialize_with = "lsn")]
    pub wal_lsn: Option<Lsn>,
    /// On a standby: how far it has replayed, and so how far it can be decoded.
    #[serde(default, deserialize_with = "lsn")]
    pub replayed_lsn: Option<Lsn>,
    /// What was written since the statistics of the log were reset; none on a standby, which writes none.
    #[serde(default)]
    pub average: Option<LongAverage>,
    /// Settings that decide what slots may hold back.
    pub settings: Settings,
    /// All slots of the server, by name.
    #[serde(deserialize_with = "list")]
    pub slots: Vec<Slot>,
    /// What has been decoded for each logical slot.
    #[serde(deserialize_with = "list")]
    pub statistics: Vec<SlotStatistics>,
    /// Who streams the log, physically or logically.
    #[serde(deserialize_with = "list")]
    pub walsenders: Vec<Walsender>,
    /// The ten oldest transactions that run, those that have written before those that read, and of
    /// each the oldest first; without those of walsenders and ours.
    #[serde(deserialize_with = "list")]
    pub transactions: Vec<Transaction>,
    /// The ten oldest prepared transactions, oldest first.
    #[serde(deserialize_with = "list")]
    pub prepared: Vec<PreparedTransaction>,
    /// The statements of the transactions were left out: one of them can't be sent as UTF-8.
    #[serde(skip)]
    pub statements_left_out: bool,
    /// What is written in each database.
    #[serde(deserialize_with = "list")]
    pub databases: Vec<Database>,
}

/// A row of `pg_replication_slots` with who uses it. What the version does not have is none.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Slot {
    /// Its name.
    #[serde(rename = "slot_name")]
    pub name: String,
    /// `physical` or `logical`.
    pub slot_type: String,
    /// The output plugin of a logical slot.
    pub plugin: Option<String>,
    /// The database of a logical slot.
    pub database: Option<String>,
    /// It ends with its connection.
    pub temporary: bool,
    /// Somebody uses it.
    pub active: bool,
    /// Who.
    pub active_pid: Option<i32>,
    /// The log is kept from here.
    #[serde(deserialize_with = "lsn")]
    pub restart_lsn: Option<Lsn>,
    /// Everything that commits below it was confirmed.
    #[serde(deserialize_with = "lsn")]
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// Bytes until it is in danger of being lost, may be negative; none without a limit. On a standby
    /// it is nonsense: the server counts from 0/0 there.
    pub safe_wal_size: Option<i64>,
    /// It decodes prepared transactions.
    #[serde(default)]
    pub two_phase: bool,
    /// 16 and later: it conflicts with recovery.
    #[serde(default)]
    pub conflicting: Option<bool>,
    /// 17 and later: why it was invalidated.
    #[serde(default)]
    pub invalidation_reason: Option<String>,
    /// 17 and later: it is copied to standbys.
    #[serde(default)]
    pub failover: bool,
    /// 17 and later: it is a copy of the primary's.
    #[serde(default)]
    pub synced: bool,
    /// 17 and later: since when nobody has used it, as the server says it in UTC.
    #[serde(default)]
    pub inactive_since: Option<String>,
    /// 17 and later: for how long nobody has used it, in seconds.
    #[serde(skip)]
    pub inactive_seconds: Option<f64>,
    /// Transactions since the oldest whose catalog rows it keeps from being cleaned up.
    #[serde(default)]
    pub catalog_xmin_age: Option<i64>,
    /// The same of all rows, of a physical slot with feedback.
    #[serde(default)]
    pub xmin_age: Option<i64>,
    /// Role of who uses it.
    #[serde(default)]
    pub holder_user: Option<String>,
    /// `application_name` of who uses it.
    #[serde(default)]
    pub holder_application: Option<String>,
    /// Address of who uses it; none for a local socket, and when it may not be seen.
    #[serde(default)]
    pub holder_address: Option<String>,
}

impl Slot {
    /// Whether it decodes.
    #[must_use]
    pub fn is_logical(&self) -> bool {
        self.slot_type == "logical"
    }

    /// Why it is lost; none when it is not.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        if let Some(why) = self.invalidation_reason.as_deref() {
            return Some(why);
        }
        let lost = self.wal_status.as_deref() == Some("lost");
        // 16 says of every invalidated logical slot that it conflicts, but takes the position only
        // from one whose log was removed.
        if self.conflicting == Some(true) && (self.restart_lsn.is_some() || !lost) {
            return Some("conflict");
        }
        lost.then_some("wal_removed")
    }

    /// For how long nobody has used it, where the server says so (17 and later).
    #[must_use]
    pub fn inactive_for(&self) -> Option<Duration> {
        self.inactive_seconds.and_then(seconds)
    }

    /// Who uses it, in words: `application "x" of user y at 10.0.0.1, pid 42`.
    #[must_use]
    pub fn holder(&self) -> Option<String> {
        let pid = self.active_pid?;
        let mut text = String::new();
        if let Some(application) = self.holder_application.as_deref().filter(|a| !a.is_empty()) {
            text.push_str(&format!("application \"{application}\" "));
        }
        if let Some(user) = &self.holder_user {
            text.push_str(&format!("of user {user} "));
        }
        if let Some(address) = &self.holder_address {
            text.push_str(&format!("at {address} "));
        }
        Some(format!("{text}(pid {pid})"))
    }
}

/// A row of `pg_stat_replication_slots`: sums since the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SlotStatistics {
    /// The slot.
    #[serde(rename = "slot_name")]
    pub name: String,
    /// Bytes of decoded changes that the server wrote to its own disk.
    pub spill_bytes: i64,
    /// Bytes of decoded changes that were sent before their commit.
    pub stream_bytes: i64,
    /// Transactions that were decoded.
    pub total_txns: i64,
    /// Bytes of decoded changes.
    pub total_bytes: i64,
}

/// A row of `pg_stat_replication`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Walsender {
    /// Its process.
    pub pid: i32,
    /// Its role.
    pub usename: Option<String>,
    /// Its `application_name`.
    pub application_name: Option<String>,
    /// Its client; none for a local socket, and when it may not be seen.
    pub client_addr: Option<String>,
    /// `startup`, `catchup`, `streaming`, `backup` or `stopping`.
    pub state: Option<String>,
    /// How far it has sent.
    #[serde(deserialize_with = "lsn")]
    pub sent_lsn: Option<Lsn>,
    /// How far the client has confirmed.
    #[serde(deserialize_with = "lsn")]
    pub flush_lsn: Option<Lsn>,
    /// `async`, or a state in which commits may wait for it.
    pub sync_state: Option<String>,
    /// For how long the client has not spoken.
    pub silent_seconds: Option<f64>,
    /// What it waits for, in PostgreSQL's word.
    #[serde(default)]
    pub wait_event: Option<String>,
}

impl Walsender {
    /// It waits until the client reads what it sends.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.wait_event.as_deref() == Some("WalSenderWriteData")
    }
}

impl Walsender {
    /// It waits for the standbys of `synchronized_standby_slots`; none when what it waits for is
    /// hidden.
    #[must_use]
    pub fn waits_for_standbys(&self) -> Option<bool> {
        let event = self.wait_event.as_deref()?;
        Some(event == "WaitForStandbyConfirmation")
    }
}

/// A transaction that runs. What this role may not see is none.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Transaction {
    /// Its process.
    pub pid: i32,
    /// Its role.
    pub usename: Option<String>,
    /// Its `application_name`.
    pub application_name: Option<String>,
    /// Its client.
    pub client_addr: Option<String>,
    /// Its database.
    pub datname: Option<String>,
    /// `active`, `idle in transaction` and the like.
    pub state: Option<String>,
    /// `client backend`, `autovacuum worker` and the like.
    pub backend_type: Option<String>,
    /// Transactions since it wrote first; none when it has written nothing.
    pub xid_age: Option<i64>,
    /// Transactions since the oldest that it may still want to see.
    pub xmin_age: Option<i64>,
    /// For how long it has been open.
    pub seconds: Option<f64>,
    /// How long ago its last statement began.
    pub query_seconds: Option<f64>,
    /// The beginning of its last statement.
    pub query: Option<String>,
}

/// A transaction that was prepared and waits for its second phase.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct PreparedTransaction {
    /// Its global identifier.
    pub gid: String,
    /// Who prepared it.
    pub owner: Option<String>,
    /// Where.
    pub database: Option<String>,
    /// Transactions since it began to write.
    pub xid_age: Option<i64>,
    /// How long ago it was prepared.
    pub seconds: Option<f64>,
}

/// What was written over a long time: `pg_stat_wal`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct LongAverage {
    /// Bytes of log.
    pub bytes: f64,
    /// In so many seconds.
    pub seconds: Option<f64>,
}

impl LongAverage {
    /// Bytes a second; none for less than an hour, which is no long time.
    #[must_use]
    pub fn bytes_per_second(&self) -> Option<f64> {
        const LEAST_SECONDS: f64 = 3600.0;
        let seconds = self.seconds.filter(|seconds| *seconds >= LEAST_SECONDS)?;
        Some(self.bytes / seconds)
    }
}

/// What is written in a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Rows inserted, updated and deleted since the last reset.
    pub rows_written: i64,
}

/// Settings, as the server shows them; none for those that the version does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// The server's own limit to what slots hold back; `-1` is none.
    pub max_slot_wal_keep_size: Option<String>,
    /// What is kept for standbys without a slot.
    pub wal_keep_size: Option<String>,
    /// A checkpoint comes at the latest after about so much log.
    pub max_wal_size: Option<String>,
    /// Size of a file of the log.
    pub wal_segment_size: Option<String>,
    /// A client that is silent for so long is cut off.
    pub wal_sender_timeout: Option<String>,
    /// 18 and later: a slot that is unused for so long is invalidated.
    pub idle_replication_slot_timeout: Option<String>,
    /// How many slots there can be.
    pub max_replication_slots: Option<String>,
    /// How many walsenders there can be.
    pub max_wal_senders: Option<String>,
    /// `logical` where logical slots work.
    pub wal_level: Option<String>,
    /// 17 and later: failover slots wait for the standbys of these slots.
    pub synchronized_standby_slots: Option<String>,
    /// Commits wait for these standbys.
    pub synchronous_standby_names: Option<String>,
    /// 17 and later: this standby copies the failover slots of its primary.
    pub sync_replication_slots: Option<String>,
    /// This standby keeps its primary from cleaning up what it reads.
    pub hot_standby_feedback: Option<String>,
}

impl Settings {
    /// `max_slot_wal_keep_size` in bytes; none without a limit.
    #[must_use]
    pub fn keep_size_bytes(&self) -> Option<u64> {
        self.max_slot_wal_keep_size
            .as_deref()
            .and_then(setting::bytes)
    }

    /// What the server keeps for a slot: `max_slot_wal_keep_size`, or `wal_keep_size` where that is
    /// more; none without a limit.
    #[must_use]
    pub fn kept_bytes(&self) -> Option<u64> {
        let anyway = self.wal_keep_size.as_deref().and_then(setting::bytes);
        Some(self.keep_size_bytes()?.max(anyway.unwrap_or(0)))
    }

    /// `idle_replication_slot_timeout`; none when it is off, or not there.
    #[must_use]
    pub fn idle_slot_timeout(&self) -> Option<Duration> {
        self.idle_replication_slot_timeout
            .as_deref()
            .and_then(setting::duration)
    }

    /// `wal_sender_timeout`; none when it is off.
    #[must_use]
    pub fn sender_timeout(&self) -> Option<Duration> {
        self.wal_sender_timeout
            .as_deref()
            .and_then(setting::duration)
    }

    /// The names in `synchronized_standby_slots`.
    #[must_use]
    pub fn standby_slots(&self) -> Vec<&str> {
        let names = self.synchronized_standby_slots.as_deref().unwrap_or("");
        names
            .split(',')
            .map(|name| name.trim().trim_matches('"'))
            .filter(|name| !name.is_empty())
            .collect()
    }
}

impl Observation {
    /// Reads what the query has given.
    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let mut seen: Self = serde_json::from_str(text)?;
        for slot in &mut seen.slots {
            let since = slot.inactive_since.as_deref().and_then(setting::epoch);
            slot.inactive_seconds = since.map(|since| seen.at - since);
        }
        Ok(seen)
    }

    /// The slot of this name.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// What was decoded for the slot of this name.
    #[must_use]
    pub fn statistics(&self, name: &str) -> Option<&SlotStatistics> {
        self.statistics.iter().find(|row| row.name == name)
    }

    /// The walsender that uses a slot.
    #[must_use]
    pub fn walsender(&self, slot: &Slot) -> Option<&Walsender> {
        let pid = slot.active_pid?;
        self.walsenders.iter().find(|sender| sender.pid == pid)
    }

    /// Bytes of log that the slot holds back: from `restart_lsn` to the end of the log. None when it
    /// holds back none: it never reserved any, or is lost.
    #[must_use]
    pub fn retained_bytes(&self, slot: &Slot) -> Option<u64> {
        if slot.wal_status.as_deref() == Some("lost") {
            return None;
        }
        Some(self.wal_lsn?.bytes_since(slot.restart_lsn?))
    }

    /// Bytes of log that the consumer of a logical slot has not confirmed.
    #[must_use]
    pub fn unconfirmed_bytes(&self, slot: &Slot) -> Option<u64> {
        Some(self.readable_lsn()?.bytes_since(slot.confirmed_flush_lsn?))
    }

    /// Bytes of log that have not been decoded and sent yet to whoever uses the slot.
    #[must_use]
    pub fn unsent_bytes(&self, slot: &Slot) -> Option<u64> {
        Some(
            self.readable_lsn()?
                .bytes_since(self.walsender(slot)?.sent_lsn?),
        )
    }

    /// How far the log can be decoded here.
    #[must_use]
    pub fn readable_lsn(&self) -> Option<Lsn> {
        self.replayed_lsn.or(self.wal_lsn)
    }

    /// The slot that holds back most.
    #[must_use]
    pub fn oldest_slot(&self) -> Option<&Slot> {
        self.slots
            .iter()
            .filter(|slot| self.retained_bytes(slot).is_some())
            .min_by_key(|slot| slot.restart_lsn)
    }
}

/// Seconds of a clock that may have been set back.
pub(crate) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

fn lsn<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lsn>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}

/// `jsonb_agg` of nothing is null.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = r#"{"at": 1.5, "started_at": 1.0, "in_recovery": false, "wal_lsn": "1/10",
        "settings": {"max_slot_wal_keep_size": "1GB", "synchronized_standby_slots": "a, \"b\","},
        "slots": [{"slot_name": "s", "slot_type": "logical", "plugin": "pgoutput", "database": "d",
            "temporary": false, "active": false, "active_pid": null, "restart_lsn": "0/F0000010",
            "confirmed_flush_lsn": "1/0", "wal_status": "extended", "safe_wal_size": -5,
            "of_a_later_version": [1]}],
        "statistics": null, "walsenders": null, "transactions": null, "prepared": null,
        "databases": null}"#;

    #[test]
    fn columns_of_other_versions_are_optional() {
        let seen = Observation::read(BARE).expect("an observation");
        let slot = seen.slot("s").expect("a slot");
        assert_eq!(seen.retained_bytes(slot), Some(0x1000_0000));
        assert_eq!(seen.unconfirmed_bytes(slot), Some(0x10));
        assert_eq!(seen.unsent_bytes(slot), None);
        assert_eq!(slot.lost(), None);
        assert_eq!(seen.settings.standby_slots(), ["a", "b"]);
        assert_eq!(seen.settings.keep_size_bytes(), Some(1 << 30));
        assert_eq!(seen.oldest_slot().map(|slot| slot.name.as_str()), Some("s"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for (from, to) in [("1/10", "1-10"), ("\"s\"", "5"), ("[{", "[")] {
            assert!(
                Observation::read(&BARE.replace(from, to)).is_err(),
                "{from}"
            );
        }
    }

    #[test]
    fn a_lost_slot_says_why_and_holds_nothing() {
        let mut slot = Slot {
            wal_status: Some("lost".into()),
            restart_lsn: Some(Lsn(1)),
            ..Slot::default()
        };
        let seen = Observation {
            wal_lsn: Some(Lsn(9)),
            ..Observation::default()
        };
        assert_eq!(slot.lost(), Some("wal_removed"));
        assert_eq!(seen.retained_bytes(&slot), None);
        // 16: a conflict leaves the position, removed log takes it.
        slot.conflicting = Some(true);
        assert_eq!(slot.lost(), Some("conflict"));
        slot.restart_lsn = None;
        assert_eq!(slot.lost(), Some("wal_removed"));
        slot.invalidation_reason = Some("idle_timeout".into());
        assert_eq!(slot.lost(), Some("idle_timeout"));
    }
}
