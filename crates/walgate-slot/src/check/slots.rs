//! Our slot, and the others.

use super::server::parameter;
use super::{Finding, Remembered, Subject};
use crate::observation::Slot;
use crate::words::{bytes, duration};

/// An unused slot that holds back more than this is worth a word.
const ORPHAN_BYTES: u64 = 64 << 20;

/// `catalog_xmin` older than this slows down every query of the catalogs.
const OLD_XMIN: i64 = 50_000_000;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = vec![free(subject)];
    if let Some(name) = &subject.wanted.slot {
        findings.extend(ours(subject, name));
    }
    findings.extend(orphans(subject));
    findings.extend(horizon(subject));
    findings.extend(standbys(subject));
    findings
}

fn free(subject: &Subject<'_>) -> Finding {
    const CHECK: &str = "max_replication_slots";
    let most = subject.seen.settings.max_replication_slots.as_deref();
    let most: usize = most.and_then(|most| most.parse().ok()).unwrap_or(0);
    let used = subject.seen.slots.len();
    let seen = format!("{used} of {most} replication slots are taken");
    let there = subject.wanted.slot.as_deref();
    let there = there.is_some_and(|name| subject.seen.slot(name).is_some());
    if used < most || there {
        return Finding::pass(CHECK, seen);
    }
    let more = (most + 5).to_string();
    let fix = parameter(subject.server, CHECK, &more) + ", and restart; or drop what nobody uses";
    Finding::fail(CHECK, seen, "there is none left", fix)
}

fn ours(subject: &Subject<'_>, name: &str) -> Vec<Finding> {
    const CHECK: &str = "slot";
    let Some(slot) = subject.seen.slot(name) else {
        if let Some(Remembered::Checkpoint { .. }) = subject.remembered {
            // The checkpoint says more about it.
            return Vec::new();
        }
        return vec![Finding::pass(
            CHECK,
            format!("slot {name} is not there yet; the first start creates it"),
        )];
    };
    let anew = format!("walgate slots drop {name}, and let Walgate create it anew");
    let mut wrong = Vec::new();
    let mut fail = |seen: String, why: &str, fix: &str| {
        wrong.push(Finding::fail(CHECK, seen, why, fix));
    };
    if let Some(why) = slot.lost() {
        let seen = format!("slot {name} is lost ({why})");
        fail(seen, "the changes behind it can't be read any more", &anew);
    }
    if !slot.is_logical() {
        let seen = format!("slot {name} is a physical slot");
        fail(seen, "it can't be decoded", "choose another [source] slot");
    }
    if slot.is_logical() && slot.plugin.as_deref() != Some("pgoutput") {
        let plugin = slot.plugin.as_deref().unwrap_or("?");
        let seen = format!("the plugin of slot {name} is {plugin}");
        fail(
            seen,
            "Walgate reads pgoutput",
            "choose another [source] slot",
        );
    }
    if let Some(database) = slot.database.as_deref()
        && database != subject.server.database
    {
        let seen = format!("slot {name} belongs to database {database}");
        let why = format!("this is database {}", subject.server.database);
        fail(
            seen,
            &why,
            "connect to that database, or choose another [source] slot",
        );
    }
    if slot.two_phase {
        let seen = format!("slot {name} decodes prepared transactions (two_phase)");
        fail(seen, "Walgate delivers what is committed", &anew);
    }
    if wrong.is_empty() {
        wrong.push(sound(subject, slot));
    }
    wrong.extend(failover(subject, slot));
    wrong.extend(young_publications(subject, slot));
    wrong
}

/// The first version whose slots can follow to standbys.
const FAILOVER_VERSION_NUM: i32 = 170_000;

fn failover(subject: &Subject<'_>, slot: &Slot) -> Option<Finding> {
    const CHECK: &str = "failover";
    let name = &slot.name;
    if subject.seen.in_recovery {
        let sync = subject.seen.settings.sync_replication_slots.as_deref() == Some("on");
        return (slot.synced && !sync).then(|| {
            Finding::warn(
                CHECK,
                format!(
                    "slot {name} is a copy of the primary's, and sync_replication_slots is off"
                ),
                "the copy falls behind, and is of no use after a failover",
                parameter(subject.server, "sync_replication_slots", "on"),
            )
        });
    }
    if slot.failover {
        return Some(Finding::pass(
            CHECK,
            format!("slot {name} follows to standbys that have sync_replication_slots = on"),
        ));
    }
    if !subject.wanted.failover {
        return None;
    }
    if subject.server.version_num < FAILOVER_VERSION_NUM {
        return Some(Finding::fail(
            CHECK,
            "[source] failover is set, and this server knows nothing of it",
            "slots follow to standbys from PostgreSQL 17 on",
            "leave [source] failover out",
        ));
    }
    Some(Finding::warn(
        CHECK,
        format!("[source] failover is set, and slot {name} does not follow to standbys"),
        "it is lost with the primary; the setting counts only for a slot that is created",
        format!(
            "while Walgate is stopped, over a connection for replication: ALTER_REPLICATION_SLOT {name} (FAILOVER)"
        ),
    ))
}

/// A slot decodes with the catalogs as they were at each place of the log: a publication that was made
/// behind the slot's position does not exist there.
fn young_publications(subject: &Subject<'_>, slot: &Slot) -> Vec<Finding> {
    let Some(horizon) = slot.catalog_xmin_age.filter(|_| !slot.active) else {
        return Vec::new();
    };
    let all = subject.facts.publications.iter();
    let young = all.filter(|one| one.age.is_some_and(|age| age < horizon));
    young
        .map(|one| {
            Finding::warn(
                "publication_age",
                format!(
                    "publication {} was created or changed after where slot {} may stand",
                    one.name, slot.name
                ),
                "where changes were made before the publication was, the server can't find it; what \
                 was published differently then is sent as it was published then",
                "when a start ends so: walgate slots drop, and let Walgate create the slot anew",
            )
        })
        .collect()
}

fn sound(subject: &Subject<'_>, slot: &Slot) -> Finding {
    let held = subject.seen.retained_bytes(slot).unwrap_or(0);
    let used = slot.holder().map_or_else(
        || "unused".to_owned(),
        |holder| format!("in use by {holder}"),
    );
    let mut seen = format!("slot {} holds back {}, {used}", slot.name, bytes(held));
    let safe = slot.safe_wal_size.filter(|_| !subject.seen.in_recovery);
    if let Some(safe) = safe.and_then(|safe| u64::try_from(safe).ok()) {
        seen.push_str(&format!("; {} more and it is in danger", bytes(safe)));
    }
    Finding::pass("slot", seen)
}

fn orphans(subject: &Subject<'_>) -> Vec<Finding> {
    // A copy on a standby is the primary's, and can't be dropped here.
    let is_copy = |slot: &Slot| slot.synced && subject.seen.in_recovery;
    let unused = subject
        .seen
        .slots
        .iter()
        .filter(|slot| !slot.active && !is_copy(slot));
    let other = unused.filter(|slot| subject.wanted.slot.as_deref() != Some(slot.name.as_str()));
    other
        .filter_map(|slot| {
            let held = subject.seen.retained_bytes(slot)?;
            (held >= ORPHAN_BYTES).then(|| {
                let since = slot
                    .inactive_for()
                    .map_or_else(String::new, |time| format!(" for {}", duration(time)));
                let of = match (&slot.plugin, &slot.database) {
                    (Some(plugin), Some(database)) => {
                        format!(" ({plugin}, database {database})")
                    }
                    _ => " (physical: a standby's)".to_owned(),
                };
                Finding::warn(
                    "other_slots",
                    format!(
                        "nobody has used slot {}{of}{since}; it holds back {}",
                        slot.name,
                        bytes(held)
                    ),
                    "it fills the server's disk, and no other slot can help",
                    format!(
                        "start its consumer, or if it never comes back: walgate slots drop {}",
                        slot.name
                    ),
                )
            })
        })
        .collect()
}

fn horizon(subject: &Subject<'_>) -> Vec<Finding> {
    let old = |slot: &&Slot| slot.catalog_xmin_age.is_some_and(|age| age > OLD_XMIN);
    let old = subject.seen.slots.iter().filter(old);
    old.map(|slot| {
        let age = slot.catalog_xmin_age.unwrap_or(0);
        Finding::warn(
            "catalog_xmin",
            format!(
                "slot {} keeps catalog rows of {age} transactions",
                slot.name
            ),
            "the catalogs grow, and every query is planned slower",
            "have its consumer confirm, or drop it",
        )
    })
    .collect()
}

fn standbys(subject: &Subject<'_>) -> Option<Finding> {
    const CHECK: &str = "synchronized_standby_slots";
    let names = subject.seen.settings.standby_slots();
    if names.is_empty() {
        return None;
    }
    let there = |name: &&str| subject.seen.slot(name).is_some_and(|slot| slot.active);
    let absent: Vec<_> = names.iter().copied().filter(|name| !there(name)).collect();
    if absent.is_empty() {
        return Some(Finding::pass(CHECK, format!("{} stream", names.join(", "))));
    }
    Some(Finding::fail(
        CHECK,
        format!("nobody streams from {}", absent.join(", ")),
        "slots that follow to standbys deliver nothing meanwhile",
        "start these standbys, or take their slots out of synchronized_standby_slots and reload",
    ))
}
