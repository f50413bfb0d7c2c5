//! Whether our slot may be dropped, and whether it was of any use.

use std::fmt;

use walgate_core::Lsn;

use crate::observation::{Observation, Slot};
use crate::words::bytes;

/// What must be true of a slot before anything drops it without a human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OurIdentity {
    /// Its name.
    pub slot: String,
    /// Its database.
    pub database: String,
    /// The checkpoint says that this program has created it.
    pub created_by_us: bool,
    /// What the checkpoint says is confirmed: a slot that is ahead of it is another one.
    pub confirmed: Lsn,
    /// The system that the checkpoint is of.
    pub system_id: u64,
}

/// Why a slot is not dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such slot.
    Missing,
    /// The checkpoint does not say that this program has created it.
    NotCreatedByUs,
    /// It is not what the checkpoint is about: what differs.
    NotOurs(&'static str),
    /// Somebody uses it: who.
    InUse(String),
    /// Another slot holds back the same log: its name, and how many bytes.
    HeldByOther {
        /// Its name.
        slot: String,
        /// Bytes that it holds back.
        retained_bytes: u64,
    },
    /// Another slot holds back most of the same log.
    FreesLittle {
        /// Bytes that would be freed.
        frees: u64,
        /// Bytes that our slot holds back.
        retained_bytes: u64,
        /// The other slot's name.
        slot: String,
    },
    /// It holds back no log: it is lost, or never reserved any.
    HoldsNothing,
    /// The server is a standby: the log is its primary's.
    Standby,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such slot"),
            Self::NotCreatedByUs => {
                f.write_str("the checkpoint does not say that Walgate has created it")
            }
            Self::NotOurs(what) => write!(f, "it is not the slot of the checkpoint: {what}"),
            Self::InUse(who) => write!(f, "it is in use by {who}"),
            Self::HeldByOther {
                slot,
                retained_bytes,
            } => write!(
                f,
                "slot {slot} holds back {} all the same, so that nothing would be freed",
                bytes(*retained_bytes)
            ),
            Self::FreesLittle {
                frees,
                retained_bytes,
                slot,
            } => write!(
                f,
                "that would free only {} of {}: slot {slot} holds back the rest all the same",
                bytes(*frees),
                bytes(*retained_bytes)
            ),
            Self::HoldsNothing => f.write_str("it holds back no log"),
            Self::Standby => f.write_str("the server is a standby"),
        }
    }
}

/// What a drop would free: bytes of log, up to what the next slot holds back, and at least half of what
/// ours does.
///
/// `own_walsender` is the process that streams to us, which may still be there.
///
/// # Errors
///
/// Why it must not be dropped.
pub fn may_drop(
    seen: &Observation,
    system_id: Option<u64>,
    ours: &OurIdentity,
    own_walsender: Option<i32>,
) -> Result<u64, Refusal> {
    let slot = seen.slot(&ours.slot).ok_or(Refusal::Missing)?;
    if !ours.created_by_us {
        return Err(Refusal::NotCreatedByUs);
    }
    is_ours(slot, system_id, ours)?;
    if seen.in_recovery || slot.synced {
        return Err(Refusal::Standby);
    }
    if slot.active && (slot.active_pid.is_none() || slot.active_pid != own_walsender) {
        let holder = slot.holder().unwrap_or_else(|| "somebody".to_owned());
        return Err(Refusal::InUse(holder));
    }
    let others = seen.slots.iter().filter(|other| other.name != slot.name);
    let holding = others.filter(|other| seen.retained_bytes(other).is_some());
    let next = holding.min_by_key(|other| other.restart_lsn);
    let (Some(retained_bytes), Some(ours)) = (seen.retained_bytes(slot), slot.restart_lsn) else {
        return Err(Refusal::HoldsNothing);
    };
    let Some(next) = next else {
        return Ok(retained_bytes);
    };
    let until = next.restart_lsn.unwrap_or_default();
    if until <= ours {
        return Err(Refusal::HeldByOther {
            slot: next.name.clone(),
            retained_bytes: seen.retained_bytes(next).unwrap_or_default(),
        });
    }
    let frees = until.bytes_since(ours);
    // All that was not delivered is too much for less.
    if frees < retained_bytes / 2 {
        return Err(Refusal::FreesLittle {
            frees,
            retained_bytes,
            slot: next.name.clone(),
        });
    }
    Ok(frees)
}

fn is_ours(slot: &Slot, system_id: Option<u64>, ours: &OurIdentity) -> Result<(), Refusal> {
    if !slot.is_logical() {
        return Err(Refusal::NotOurs("it is a physical slot"));
    }
    if slot.plugin.as_deref() != Some("pgoutput") {
        return Err(Refusal::NotOurs("it has another plugin"));
    }
    if slot.database.as_deref() != Some(ours.database.as_str()) {
        return Err(Refusal::NotOurs("it is of another database"));
    }
    if slot.temporary {
        return Err(Refusal::NotOurs("it is a temporary slot"));
    }
    if system_id.is_some_and(|id| id != ours.system_id) {
        return Err(Refusal::NotOurs("it is on another system"));
    }
    if slot
        .confirmed_flush_lsn
        .is_some_and(|at| at > ours.confirmed)
    {
        return Err(Refusal::NotOurs("it is ahead of the checkpoint"));
    }
    Ok(())
}

/// What has become of the log on the server's disk after a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The next checkpoint has not come yet.
    Waiting,
    /// It has come, and there is less log than before.
    Fell {
        /// Bytes before.
        from: u64,
        /// Bytes now.
        to: u64,
    },
    /// It has come, and there is no less log.
    Stayed {
        /// Bytes now.
        bytes: u64,
    },
}

impl Settled {
    /// From the size of the log's folder and the last checkpoint's position, before and now.
    #[must_use]
    pub fn of(before: (u64, Lsn), now: (u64, Lsn)) -> Self {
        let ((from, then), (to, redo)) = (before, now);
        if redo <= then {
            return Self::Waiting;
        }
        match to < from {
            true => Self::Fell { from, to },
            false => Self::Stayed { bytes: to },
        }
    }
}
