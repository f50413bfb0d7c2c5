//! Who is to blame. Pure: an observation and its history in, a cause out.

use std::time::{Duration, Instant};

use crate::cause::{Cause, Culprit, OpenTransaction, StandbyFault};
use crate::history::{History, Lag};
use crate::observation::{Observation, PreparedTransaction, Slot, Transaction, Walsender, seconds};
use crate::setting;

/// A consumer that has said nothing for longer than this is worth a word: clients speak every 10 s.
const LONG_SILENCE: Duration = Duration::from_secs(30);

/// A transaction that is younger than this holds back nothing that is worth a word: a slot moves with
/// snapshots of the running transactions, which come every 15 s, so that it lags by up to two of them
/// behind transactions that have long ended.
const LEAST_AGE: Duration = Duration::from_secs(30);

/// A slot begins to decode at a snapshot of the running transactions, so that log of before a
/// transaction is held back for it too: as much as lies between two snapshots, 15 s
/// (`LOG_SNAPSHOT_INTERVAL_MS`), and what a busy server is late.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(18);

/// How long the statistics must have stood still before tables are called idle: they are written
/// some time after the fact.
const IDLE_FOR: Duration = Duration::from_secs(2);

/// What is known of a slot of ours beside what the server says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OurSlot {
    /// Its name.
    pub name: String,
    /// The required sinks that hold it back.
    pub sinks: Vec<OurSink>,
}

/// A required sink that holds a slot back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurSink {
    /// Its name.
    pub name: String,
    /// It does not take anything at all.
    pub down: bool,
    /// Since when.
    pub since: Option<Duration>,
}

/// Everything that a culprit is found from.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The present state.
    pub seen: &'a Observation,
    /// How it came about; must have recorded `seen`.
    pub history: &'a History,
    /// The time of `seen`.
    pub now: Instant,
    /// The slots that are ours.
    pub ours: &'a [OurSlot],
    /// Show no statements: they may hold data.
    pub hide_queries: bool,
}

impl Scene<'_> {
    /// What always waits: two files of the log. A slot moves when the next snapshot of the running
    /// transactions comes, every 15 s on a busy server, and the log is kept in whole files.
    fn unremarkable_bytes(&self) -> u64 {
        const DEFAULT_SEGMENT: u64 = 16 << 20;
        let size = self.seen.settings.wal_segment_size.as_deref();
        let size = size.and_then(setting::bytes).unwrap_or(DEFAULT_SEGMENT);
        size.saturating_mul(2)
    }

    fn our(&self, slot: &Slot) -> Option<&OurSlot> {
        self.ours.iter().find(|ours| ours.name == slot.name)
    }
}

/// Finds out why `slot` holds back log.
#[must_use]
pub fn culprit(scene: &Scene<'_>, slot: &Slot) -> Culprit {
    let retained = scene.seen.retained_bytes(slot).unwrap_or(0);
    Culprit {
        slot: slot.name.clone(),
        cause: cause(scene, slot, retained),
        held_anyway: held_anyway(scene, slot, retained),
        retained,
        ours: scene.our(slot).is_some(),
        holder: slot.holder(),
    }
}

fn cause(scene: &Scene<'_>, slot: &Slot, retained: u64) -> Cause {
    if let Some(why) = slot.lost() {
        return Cause::Lost {
            why: why.to_owned(),
        };
    }
    if slot.restart_lsn.is_none() {
        return Cause::Nothing;
    }
    // The worker that copies it uses it, and at first it has confirmed nothing.
    if slot.synced && scene.seen.in_recovery {
        return match retained < scene.unremarkable_bytes() {
            true => Cause::Nothing,
            false => Cause::Copy,
        };
    }
    if slot.is_logical() && slot.confirmed_flush_lsn.is_none() && slot.active {
        return Cause::BeingCreated {
            pid: slot.active_pid,
            waits_for: awaited(scene, slot),
            on_standby: scene.seen.in_recovery,
        };
    }
    if retained < scene.unremarkable_bytes() {
        return Cause::Nothing;
    }
    if let Some(cause) = sinks(scene, slot) {
        return cause;
    }
    // Either the consumer has not confirmed, or it has, and decoding would still begin far back.
    let unconfirmed = scene.seen.unconfirmed_bytes(slot).unwrap_or(retained);
    let confirmed = slot.is_logical() && unconfirmed < retained.div_ceil(2);
    // Without a reader `restart_lsn` never moves again, whatever held it back before.
    let polled = confirmed && scene.history.is_polled(&slot.name, scene.now);
    if !slot.active && !polled {
        return absent(scene, slot);
    }
    if is_of_table_copy(&slot.name) {
        return Cause::Snapshot;
    }
    if !slot.is_logical() {
        return Cause::StandbyBehind;
    }
    if slot.failover
        && !confirmed
        && let Some(cause) = standbys(scene, slot)
    {
        return cause;
    }
    if confirmed {
        return transaction(scene, slot);
    }
    consumer(scene, slot, unconfirmed)
}

fn sinks(scene: &Scene<'_>, slot: &Slot) -> Option<Cause> {
    let sinks = &scene.our(slot)?.sinks;
    let worst = sinks
        .iter()
        .max_by_key(|sink| (sink.down, sink.since.unwrap_or_default()))?;
    let (sink, since) = (worst.name.clone(), worst.since);
    Some(match worst.down {
        true => Cause::SinkDown { sink, since },
        false => Cause::SinkBehind { sink, since },
    })
}

fn absent(scene: &Scene<'_>, slot: &Slot) -> Cause {
    let watched = scene.history.unused_for(&slot.name, scene.now);
    // A server that says since when knows it better than we, who have looked for less long.
    let since = slot.inactive_for().or(watched);
    Cause::Absent {
        since: since.filter(|since| !since.is_zero()),
    }
}

/// The name that a subscription gives the slot of a table's first copy.
///
/// <https://www.postgresql.org/docs/current/logical-replication-architecture.html>
fn is_of_table_copy(name: &str) -> bool {
    let mut parts = name.split('_');
    let digits = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    parts.next() == Some("pg")
        && digits(parts.next())
        && parts.next() == Some("sync")
        && digits(parts.next())
        && digits(parts.next())
        && parts.next().is_none()
}

fn standbys(scene: &Scene<'_>, slot: &Slot) -> Option<Cause> {
    let end = scene.seen.wal_lsn?;
    let sender = scene.seen.walsender(slot);
    let waits = sender.and_then(Walsender::waits_for_standbys);
    // What was sent already can't be waiting for a standby.
    let held = scene.seen.unsent_bytes(slot).unwrap_or(0) >= scene.unremarkable_bytes();
    let may_wait = waits.unwrap_or(held);
    let fault = |name: &str| {
        let Some(slot) = scene.seen.slot(name) else {
            return Some(StandbyFault::Missing);
        };
        if slot.lost().is_some() {
            return Some(StandbyFault::Lost);
        }
        if !slot.active {
            return Some(StandbyFault::Inactive);
        }
        let behind = end.bytes_since(slot.restart_lsn.unwrap_or_default());
        (behind >= scene.unremarkable_bytes()).then_some(StandbyFault::Behind(behind))
    };
    let blocking: Vec<_> = scene
        .seen
        .settings
        .standby_slots()
        .into_iter()
        .filter_map(|name| fault(name).map(|fault| (name.to_owned(), fault)))
        .collect();
    let for_ever = |fault| matches!(fault, StandbyFault::Missing | StandbyFault::Lost);
    let blocks = may_wait || blocking.iter().any(|(_, fault)| for_ever(*fault));
    (blocks && !blocking.is_empty()).then_some(Cause::Standbys { blocking })
}

/// The oldest transaction that has written, open or prepared: decoding begins before it.
fn transaction(scene: &Scene<'_>, slot: &Slot) -> Cause {
    // Sessions of a standby write nothing: whoever holds it back is on the primary.
    if scene.seen.in_recovery {
        return Cause::PrimaryTransactions;
    }
    let open = oldest_open(scene);
    let prepared = scene
        .seen
        .prepared
        .iter()
        .max_by_key(|prepared| prepared.xid_age);
    let age = |open: &Transaction| open.xid_age;
    let found = match (open, prepared) {
        (None, None) => None,
        (Some(open), Some(prepared)) if age(open) <= prepared.xid_age => {
            describe_prepared(scene, slot, prepared)
        }
        (Some(open), _) => describe(scene, slot, open).map(Cause::OpenTransaction),
        (None, Some(prepared)) => describe_prepared(scene, slot, prepared),
    };
    found.unwrap_or(Cause::Settling)
}

/// What a slot that is being created waits for: it ran when the log of the slot began.
fn awaited(scene: &Scene<'_>, slot: &Slot) -> Option<OpenTransaction> {
    describe(scene, slot, oldest_open(scene)?)
}

/// Whether a transaction of this age holds back log that is as old as that at `restart_lsn`, which
/// lies before it.
fn blame(scene: &Scene<'_>, slot: &Slot, age: Option<Duration>) -> Blame {
    let log = slot
        .restart_lsn
        .map_or(Lag::None, |restart| scene.history.lag(restart, scene.now));
    let log = match log {
        Lag::None => Duration::ZERO,
        Lag::About(age) | Lag::AtLeast(age) => age,
    };
    match age {
        None => Blame::Possible,
        Some(age) if age < LEAST_AGE => Blame::None,
        Some(age) if age + SNAPSHOT_EVERY < log => Blame::TooYoung,
        Some(_) => Blame::Likely,
    }
}

enum Blame {
    /// It has just begun.
    None,
    /// The log that is held back is older.
    TooYoung,
    /// Its age is hidden.
    Possible,
    /// It is as old as the log, but for the snapshot before it.
    Likely,
}

fn oldest_open<'a>(scene: &Scene<'a>) -> Option<&'a Transaction> {
    let wrote = |open: &&Transaction| open.xid_age.is_some();
    let open = scene.seen.transactions.iter().filter(wrote);
    open.max_by_key(|open| open.xid_age)
}

/// None for one that can't be it.
fn describe(scene: &Scene<'_>, slot: &Slot, open: &Transaction) -> Option<OpenTransaction> {
    let age = open.seconds.and_then(seconds);
    let certain = match blame(scene, slot, age) {
        Blame::None | Blame::TooYoung => return None,
        Blame::Possible => false,
        Blame::Likely => true,
    };
    let query = open.query.as_deref().filter(|_| !scene.hide_queries);
    Some(OpenTransaction {
        certain,
        pid: open.pid,
        user: open.usename.clone(),
        application: open.application_name.clone(),
        database: open.datname.clone(),
        age,
        idle: open
            .state
            .as_deref()
            .is_some_and(|state| state.starts_with("idle in transaction")),
        // Without the right to see it there is a note in its place, and no age.
        query: query
            .filter(|_| open.seconds.is_some())
            .map(|query| query.split_whitespace().collect::<Vec<_>>().join(" ")),
    })
}

/// None for one that can't be it.
fn describe_prepared(
    scene: &Scene<'_>,
    slot: &Slot,
    prepared: &PreparedTransaction,
) -> Option<Cause> {
    let age = prepared.seconds.and_then(seconds);
    let certain = match blame(scene, slot, age) {
        Blame::None => return None,
        // It began some time before it was prepared, and nobody says when.
        Blame::TooYoung | Blame::Possible => false,
        Blame::Likely => true,
    };
    Some(Cause::Prepared {
        certain,
        gid: prepared.gid.clone(),
        database: prepared.database.clone().unwrap_or_default(),
        owner: prepared.owner.clone().unwrap_or_default(),
        age,
    })
}

fn consumer(scene: &Scene<'_>, slot: &Slot, unconfirmed: u64) -> Cause {
    let sender = scene.seen.walsender(slot);
    let silent = sender
        .and_then(|sender| sender.silent_seconds)
        .and_then(seconds)
        .filter(|silent| *silent > LONG_SILENCE);
    let unsent = scene.seen.unsent_bytes(slot).unwrap_or(0);
    let blocked = sender.is_some_and(Walsender::is_blocked);
    // Inside of a transaction `sent_lsn` stands at its commit, whatever of it was sent.
    if blocked || unsent >= unconfirmed.div_ceil(2) {
        return Cause::NotSent {
            unsent,
            blocked,
            silent,
        };
    }
    if nothing_wanted(scene, slot, unsent, unconfirmed) {
        let busy = scene.history.busiest_database();
        return Cause::IdleTables {
            busy: busy.map(|(name, _)| name.to_owned()),
        };
    }
    Cause::NotConfirmed { unconfirmed }
}

/// Log was written and passed by the walsender, and next to nothing of it were changes of tables in
/// the database of this slot. A walsender that is inside of a large transaction passes nothing. What
/// was written before we looked may be what the consumer does not confirm: most of it must have been
/// seen being written.
fn nothing_wanted(scene: &Scene<'_>, slot: &Slot, unsent: u64, unconfirmed: u64) -> bool {
    let Some((decoded, span)) = scene.history.decoded(&slot.name) else {
        return false;
    };
    let Some(rate) = scene.history.wal_rate(span) else {
        return false;
    };
    let written = rate.bytes_per_second * rate.over.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (unsent, decoded, unconfirmed) = (unsent as f64, decoded as f64, unconfirmed as f64);
    let covered = written >= unconfirmed / 2.0;
    // The server's own work in that database (statistics, autovacuum) is decoded too.
    rate.over >= IDLE_FOR && covered && written > 2.0 * unsent && decoded < written / 20.0
}

/// The slot that holds back most, when that is another one and more by what is worth a word.
fn held_anyway(scene: &Scene<'_>, slot: &Slot, retained: u64) -> Option<(String, String, u64)> {
    let oldest = scene.seen.oldest_slot()?;
    let theirs = scene.seen.retained_bytes(oldest)?;
    let more = theirs.saturating_sub(retained) >= scene.unremarkable_bytes();
    if oldest.name == slot.name || !more {
        return None;
    }
    let whose = oldest.holder().unwrap_or_else(|| {
        let where_it_is = oldest.database.as_ref();
        let of = where_it_is.map_or_else(String::new, |name| format!(" of database {name}"));
        format!("an unused {} slot{of}", oldest.slot_type)
    });
    Some((oldest.name.clone(), whose, theirs))
}

#[cfg(test)]
mod tests;
