//! What is remembered of earlier runs, against what the server has.

use walgate_core::Checkpoint;

use super::{Finding, Subject};
use crate::observation::Slot;

/// What is remembered of earlier runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// Nothing: there was none.
    Nothing {
        /// Where a checkpoint would be.
        place: String,
    },
    /// The last checkpoint.
    Checkpoint {
        /// It.
        checkpoint: Box<Checkpoint>,
        /// `[source] epoch` of the next start.
        epoch: u8,
    },
    /// It can't be read.
    Unreadable {
        /// Why.
        error: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// Whose log it is: what `IDENTIFY_SYSTEM` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identified {
    /// `systemid`.
    pub system_id: u64,
    /// `timeline`.
    pub timeline: u32,
}

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    const CHECK: &str = "checkpoint";
    let Some(name) = subject.wanted.slot.as_deref() else {
        return Vec::new();
    };
    let slot = subject.seen.slot(name);
    match subject.remembered {
        None => Vec::new(),
        Some(Remembered::Unreadable { error, hint }) => vec![Finding::fail(
            CHECK,
            error,
            "a start needs to know what was delivered",
            hint.as_deref().unwrap_or("check the folder of [state] dir"),
        )],
        Some(Remembered::Nothing { place }) => vec![match slot {
            Some(slot) if slot.confirmed_flush_lsn.is_some() => Finding::warn(
                CHECK,
                format!("there is a slot {name}, and no checkpoint in {place}"),
                "the slot alone says where to go on: what was confirmed is not delivered again, and \
                 whether changes are missing can't be told",
                "bring the folder of [state] dir back; or start, and the slot is adopted where it \
                 stands",
            ),
            _ => Finding::pass(CHECK, "there is none yet: the first start begins it"),
        }],
        Some(Remembered::Checkpoint { checkpoint, epoch }) => {
            let wrong = of_source(subject, checkpoint, *epoch);
            if !wrong.is_empty() {
                return wrong;
            }
            vec![match slot {
                None => missing(subject, name, checkpoint, *epoch),
                Some(slot) => of_slot(slot, checkpoint, *epoch),
            }]
        }
    }
}

/// Another system, or another line of history.
fn of_source(subject: &Subject<'_>, checkpoint: &Checkpoint, epoch: u8) -> Vec<Finding> {
    let known = &checkpoint.source;
    let identified = subject.replication.ok().flatten();
    let system_id = identified.map_or(subject.server.system_id, |it| Some(it.system_id));
    if let Some(system_id) = system_id
        && system_id != known.system_id
        && epoch <= known.epoch
    {
        return vec![Finding::fail(
            "system_identifier",
            format!(
                "the checkpoint is of system {}, and this is system {system_id}",
                known.system_id
            ),
            "positions mean something else here: nothing can go on where it stopped",
            format!(
                "connect to the system it is of; or when it was replaced: [source] epoch = {}",
                known.epoch.saturating_add(1)
            ),
        )];
    }
    match identified {
        Some(now) if now.timeline != known.timeline && epoch <= known.epoch => vec![Finding::warn(
            "timeline",
            format!(
                "the checkpoint is of timeline {}, and the server is on timeline {}",
                known.timeline, now.timeline
            ),
            "after a failover or a restore the server may lack what was delivered; the start compares \
             the history, and stops when it does",
            "start; if it stops: [source] on_gap = \"continue\", and [source] epoch raised by one",
        )],
        _ => Vec::new(),
    }
}

fn missing(subject: &Subject<'_>, name: &str, checkpoint: &Checkpoint, epoch: u8) -> Finding {
    if epoch > checkpoint.source.epoch || checkpoint.confirmed.0 == 0 {
        return Finding::pass("checkpoint", "a new epoch begins with a new slot");
    }
    let from = checkpoint.confirmed;
    let lost = subject.seen.wal_lsn.map_or_else(
        || format!("what was committed behind {from}"),
        |end| format!("what was committed from {from} to {end}"),
    );
    Finding::fail(
        "checkpoint",
        format!("slot {name} was there, and is gone"),
        format!("{lost} can't be read any more"),
        format!(
            "to go on with a gap: walgate slots create {name}, and [source] on_gap = \"continue\""
        ),
    )
}

fn of_slot(slot: &Slot, checkpoint: &Checkpoint, epoch: u8) -> Finding {
    const CHECK: &str = "checkpoint";
    let name = &slot.name;
    let delivered = checkpoint.confirmed;
    if epoch > checkpoint.source.epoch {
        return Finding::pass(CHECK, "a new epoch begins with the next start");
    }
    match slot.confirmed_flush_lsn {
        Some(confirmed) if confirmed > delivered && delivered.0 > 0 => Finding::fail(
            CHECK,
            format!(
                "slot {name} is at {confirmed}, ahead of the checkpoint, which is at {delivered}"
            ),
            "somebody else has moved the slot, or this is an old checkpoint: changes in between are \
             missing",
            "bring the newest checkpoint back; or go on with a gap: [source] on_gap = \"continue\"",
        ),
        _ => Finding::pass(
            CHECK,
            format!("the next start goes on at {delivered}, where slot {name} allows it"),
        ),
    }
}
