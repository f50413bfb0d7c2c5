//! `walgate slots create` and `walgate slots drop`.

use std::io::{BufRead, IsTerminal, Read};
use std::time::Instant;

use walgate_core::{Failure, StopReason};
use walgate_slot::manage::{Dropped, Manager};
use walgate_slot::words::bytes;
use walgate_slot::{
    History, LOOK_AT_PRIMARY, Observation, Scene, Server, Slot, WatchError, WatchErrorKind,
    Watcher, culprit,
};

use super::table::clean;
use super::{Meant, grant, print, refused};
use crate::args::{CreateSlotArgs, DropSlotArgs};
use crate::ending::Ending;

/// The first version whose slots can follow to standbys.
const FAILOVER_VERSION_NUM: i32 = 170_000;

pub(super) async fn create(args: &CreateSlotArgs) -> Result<(), Ending> {
    let meant = Meant::of(&args.server)?;
    let watcher = Watcher::connect(&meant.connection).await.map_err(refused)?;
    let seen = watcher.look().await.map_err(refused)?;
    let name = args.name.as_str();
    may_create(args, watcher.server(), &seen)?;
    let manager = Manager::connect(&meant.connection).await.map_err(refused)?;
    let lsn = match manager.create(name, args.failover).await {
        Ok(lsn) => lsn,
        Err(error) => {
            let answered = error.is_refusal();
            if answered && error.kind() != WatchErrorKind::TooSlow {
                return Err(refused(error));
            }
            // The connection may be gone as well.
            let seen = match Watcher::connect(&meant.connection).await {
                Ok(watcher) => watcher.look().await.ok(),
                Err(_) => None,
            };
            return Err(match seen {
                Some(seen) if answered && seen.slot(name).is_none() => waits(name, &seen),
                seen => may_exist(name, seen.as_ref(), &error),
            });
        }
    };
    let database = &watcher.server().database;
    let mut said = format!(
        "created slot {name} in database {database}, at {lsn}\n\
         from now on it keeps the log until it is read, or until: walgate slots drop {name}\n"
    );
    if seen.settings.keep_size_bytes().is_none() {
        said.push_str(
            "nothing bounds how much: max_slot_wal_keep_size is -1; set it to what the disk can spare\n",
        );
    }
    print(&said)
}

fn may_create(args: &CreateSlotArgs, server: &Server, seen: &Observation) -> Result<(), Failure> {
    let name = args.name.as_str();
    let wrong = |message: String, hint: &str| Failure::new(StopReason::Config, message).hint(hint);
    if let Some(slot) = seen.slot(name) {
        let hint = format!("to begin anew: walgate slots drop {name}");
        return Err(wrong(
            format!("{} exists already", described(seen, slot)),
            &hint,
        ));
    }
    if !server.may_replicate {
        let message = format!("role {} may not create replication slots", server.role);
        return Err(Failure::new(StopReason::Permission, message).hint(grant(server)));
    }
    if let Some(level) = seen.settings.wal_level.as_deref()
        && level != "logical"
    {
        return Err(wrong(
            format!("wal_level is {level}, and logical replication needs logical"),
            "ALTER SYSTEM SET wal_level = 'logical', and restart; on RDS set \
             rds.logical_replication = 1, and reboot",
        ));
    }
    if args.failover && (server.version_num < FAILOVER_VERSION_NUM || seen.in_recovery) {
        return Err(wrong(
            "slots that follow to standbys need the primary of a PostgreSQL 17 or later".to_owned(),
            "leave out --failover",
        ));
    }
    let most = seen.settings.max_replication_slots.as_deref();
    if most.and_then(|most| most.parse().ok()) == Some(seen.slots.len()) {
        let unused = seen.slots.iter().filter(|slot| !slot.active);
        let unused: Vec<_> = unused.map(|slot| described(seen, slot)).collect();
        let hint = match unused.is_empty() {
            true => "raise max_replication_slots, and restart".to_owned(),
            false => format!(
                "raise max_replication_slots, or drop what nobody uses: {}",
                unused.join("; ")
            ),
        };
        let message = format!("all {} replication slots are in use", seen.slots.len());
        return Err(wrong(message, &hint));
    }
    Ok(())
}

/// Nobody knows what became of the creation, but a slot that is there keeps log from now on.
fn may_exist(name: &str, seen: Option<&Observation>, error: &WatchError) -> Ending {
    if let Some((seen, slot)) = seen.and_then(|seen| Some((seen, seen.slot(name)?))) {
        let message = format!("{error}; but there is a {}", described(seen, slot));
        let hint = format!(
            "it keeps the log until it is read: use it, or if it is not wanted: walgate slots drop {name}"
        );
        return Ending::other_with_hint(message, hint);
    }
    let message = format!("{error}; slot {name} may have been created, or be created yet");
    let hint = format!(
        "look with walgate slots: if it is there it keeps the log until it is read, or until: \
         walgate slots drop {name}"
    );
    Ending::other_with_hint(message, hint)
}

/// Creation was given up behind a transaction.
fn waits(name: &str, seen: &Observation) -> Ending {
    /// `statement_timeout` of the creation.
    const GIVEN_UP_AFTER_SECONDS: f64 = 6.0;
    let message = format!(
        "creating slot {name} waits for transactions that were running, and was given up; there is no \
         such slot"
    );
    if seen.in_recovery {
        return Ending::other_with_hint(message, LOOK_AT_PRIMARY);
    }
    let blocker = seen
        .transactions
        .iter()
        .filter(|open| open.xid_age.is_some())
        // Who has begun later is not waited for.
        .filter(|open| open.seconds.is_none_or(|age| age >= GIVEN_UP_AFTER_SECONDS))
        .max_by_key(|open| open.xid_age);
    let Some(open) = blocker else {
        return Ending::other_with_hint(message, "try again");
    };
    let who = [
        open.usename.as_ref().map(|user| format!("user {user}")),
        open.application_name
            .as_ref()
            .filter(|name| !name.is_empty())
            .map(|name| format!("application \"{name}\"")),
        open.datname.as_ref().map(|name| format!("database {name}")),
    ];
    let who: Vec<_> = who.into_iter().flatten().map(|name| clean(&name)).collect();
    if open.seconds.is_none() {
        let hint = format!(
            "it may be that of pid {} ({}); a role with pg_monitor sees how long it has been open",
            open.pid,
            who.join(", ")
        );
        return Ending::other_with_hint(message, hint);
    }
    let hint = format!(
        "the oldest is that of pid {pid} ({}): let it end, or SELECT pg_terminate_backend({pid})",
        who.join(", "),
        pid = open.pid
    );
    Ending::other_with_hint(message, hint)
}

pub(super) async fn drop_slot(args: &DropSlotArgs) -> Result<(), Ending> {
    let meant = Meant::of(&args.server)?;
    let watcher = Watcher::connect(&meant.connection).await.map_err(refused)?;
    let seen = watcher.look().await.map_err(refused)?;
    let name = args.name.as_str();
    let slot = may_drop(name, watcher.server(), &seen)?;
    print(&what_is_lost(&meant, &seen, slot))?;
    if !args.yes && !confirmed(name)? {
        return Err(Ending::other(format!("slot {name} was not dropped")));
    }
    let manager = Manager::connect(&meant.connection).await.map_err(refused)?;
    match manager.drop_slot(slot).await.map_err(refused)? {
        Dropped::Yes => print(&format!("dropped slot {name}\n")),
        Dropped::Changed => {
            let message = format!("slot {name} is no longer what was shown, and was not dropped");
            let failure = Failure::new(StopReason::SlotBusy, message);
            Err(failure.hint("look again: walgate slots").into())
        }
    }
}

fn may_drop<'a>(name: &str, server: &Server, seen: &'a Observation) -> Result<&'a Slot, Failure> {
    let Some(slot) = seen.slot(name) else {
        let names: Vec<_> = seen.slots.iter().map(|slot| slot.name.as_str()).collect();
        let failure = Failure::new(StopReason::Config, format!("there is no slot {name}"));
        return Err(match names.is_empty() {
            true => failure,
            false => failure.hint(format!("there are: {}", names.join(", "))),
        });
    };
    if slot.active {
        let holder = slot.holder().unwrap_or_else(|| "somebody".to_owned());
        let holder = clean(&holder);
        let message = format!("slot {name} is in use by {holder}, and was not dropped");
        let failure = Failure::new(StopReason::SlotBusy, message);
        return Err(failure.hint("stop its consumer first"));
    }
    if slot.synced && seen.in_recovery {
        let message = format!("slot {name} is a copy of the primary's, and was not dropped");
        let failure = Failure::new(StopReason::Config, message);
        return Err(failure.hint("drop it on the primary; the copy goes with it"));
    }
    if !server.may_replicate {
        let message = format!("role {} may not drop replication slots", server.role);
        return Err(Failure::new(StopReason::Permission, message).hint(grant(server)));
    }
    Ok(slot)
}

/// `logical slot x of database d, which holds back 3.00 GiB`.
fn described(seen: &Observation, slot: &Slot) -> String {
    let of = slot
        .database
        .as_ref()
        .map_or_else(String::new, |name| format!(" of database {name}"));
    let held = seen.retained_bytes(slot).map_or_else(String::new, |held| {
        format!(", which holds back {}", bytes(held))
    });
    clean(&format!("{} slot {}{of}{held}", slot.slot_type, slot.name))
}

fn what_is_lost(meant: &Meant, seen: &Observation, slot: &Slot) -> String {
    let mut lines = vec![described(seen, slot)];
    match (slot.lost(), slot.confirmed_flush_lsn, seen.wal_lsn) {
        (Some(why), ..) => lines.push(format!(
            "it is lost already ({why}): nothing more is lost with it"
        )),
        (None, Some(confirmed), Some(end)) => lines.push(format!(
            "its consumer can never read what was committed from {confirmed} to {end} ({} of log)",
            bytes(end.bytes_since(confirmed))
        )),
        (None, ..) if !slot.is_logical() => {
            lines.push("a standby that reads it may have to be built anew".to_owned());
        }
        (None, ..) => {}
    }
    if let Some((ours, file)) = &meant.ours
        && ours.name == slot.name
    {
        lines.push(format!(
            "it is the slot of {}: the next start stops with exit code 4, because changes are missing",
            file.display()
        ));
    }
    if let Some(warning) = stops_failover_slots(seen, slot) {
        lines.push(warning);
    }
    let scene = Scene {
        seen,
        history: &History::new(),
        now: Instant::now(),
        ours: &[],
        hide_queries: true,
    };
    if let Some((other, whose, held)) = culprit(&scene, slot).held_anyway {
        lines.push(format!(
            "it frees no log: slot {other} ({whose}) holds back {} all the same",
            bytes(held)
        ));
    }
    // Names are other people's: none of them may look like a line of ours.
    lines.iter().map(|line| clean(line) + "\n").collect()
}

/// Walsenders of failover slots wait without end for a slot that is named and not there.
fn stops_failover_slots(seen: &Observation, slot: &Slot) -> Option<String> {
    let named = seen.settings.standby_slots().contains(&slot.name.as_str());
    named.then(|| {
        "it is named in synchronized_standby_slots: without it no failover slot delivers anything; \
         take it out of there and reload first"
            .to_owned()
    })
}

/// Asks for the name on a terminal; elsewhere nobody can answer.
fn confirmed(name: &str) -> Result<bool, Ending> {
    if !std::io::stdin().is_terminal() {
        let message = format!("dropping slot {name} needs a yes, and nobody can be asked");
        let failure = Failure::new(StopReason::Config, message);
        return Err(failure.hint("say it beforehand: --yes").into());
    }
    print("Type the name of the slot to drop it: ")?;
    answered(&mut std::io::stdin().lock(), name)
        .map_err(|error| Ending::other(format!("can't read the answer: {error}")))
}

/// Whether the answer is the name; nothing and the end of the input are a no.
fn answered(input: &mut impl BufRead, name: &str) -> std::io::Result<bool> {
    /// The longest name, and a line's end: who pipes a file into a terminal is not read for ever.
    const MOST: u64 = 100;
    let mut answer = String::new();
    input.take(MOST).read_line(&mut answer)?;
    Ok(answer.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_may_be_there_is_not_said_to_be_missing() {
        let error = WatchError::Silent {
            doing: "create the slot",
            seconds: 8,
        };
        let told = |seen: Option<&Observation>| match may_exist("shop", seen, &error) {
            Ending::Other { message, hint } => format!("{message} {}", hint.unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        let mut seen = Observation::default();
        for seen in [None, Some(&seen)] {
            let text = told(seen);
            assert!(
                text.contains("slot shop may have been created")
                    && text.contains("walgate slots drop shop"),
                "{text}"
            );
        }
        let mut slot = Slot::default();
        slot.name = "shop".to_owned();
        slot.slot_type = "logical".to_owned();
        seen.slots.push(slot);
        let text = told(Some(&seen));
        assert!(
            text.contains("but there is a logical slot shop")
                && text.contains("walgate slots drop shop"),
            "{text}"
        );
    }

    #[test]
    fn a_slot_that_failover_slots_wait_for_is_told() {
        let mut slot = Slot::default();
        slot.name = "standby1".to_owned();
        let mut seen = Observation::default();
        assert_eq!(stops_failover_slots(&seen, &slot), None);
        seen.settings.synchronized_standby_slots = Some("other, standby1".to_owned());
        let text = stops_failover_slots(&seen, &slot).unwrap_or_default();
        assert!(text.contains("reload first"), "{text}");
    }

    #[test]
    fn a_name_forges_no_line() {
        let mut slot = Slot::default();
        slot.database = Some("d\nit is lost already\u{202e}".to_owned());
        let seen = Observation::default();
        let text = described(&seen, &slot);
        assert!(
            !text.contains('\n') && !text.contains('\u{202e}'),
            "{text:?}"
        );
    }

    #[test]
    fn only_the_name_is_a_yes() {
        let answered = |text: &str| answered(&mut text.as_bytes(), "old").expect("read");
        for yes in ["old", "old\n", " old \r\n"] {
            assert!(answered(yes), "{yes:?}");
        }
        for no in ["", "\n", "y\n", "yes\n", "older\n", "o\nold\n"] {
            assert!(!answered(no), "{no:?}");
        }
        assert!(!answered(&" ".repeat(200)), "too long");
    }
}
