//! What is known durably about the stream.

use std::collections::BTreeMap;

use walgate_pgoutput::Lsn;

use crate::{Gap, Position};

/// Whose log it is: what a position means depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// `systemid` of IDENTIFY_SYSTEM.
    pub system_id: u64,
    /// The timeline that is streamed.
    pub timeline: u32,
    /// The epoch of the source, from the configuration.
    pub epoch: u8,
    /// The slot.
    pub slot: String,
    /// The slot's consistent point, where it is known; zero for a slot that was adopted.
    pub consistent_point: Lsn,
    /// Whether this program created the slot: only then may it ever drop it.
    pub created_by_us: bool,
}

/// What is known durably about the stream: whose it is, and how far it was delivered.
///
/// It is written before the status that confirms [`confirmed`](Self::confirmed) is sent, so a slot
/// is never ahead of it unless somebody else moved the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log it is.
    pub source: SourceIdentity,
    /// Everything that commits below this LSN (`end_lsn` of a whole transaction, or a keepalive's
    /// position) is held durably by every required sink.
    pub confirmed: Lsn,
    /// How far each sink is, by name.
    pub sinks: BTreeMap<String, Position>,
    /// The last event that any sink may have received, delivered or not. None while it runs, and
    /// after a crash: then it may be anything that was read.
    pub received: Option<Position>,
    /// Gaps that were declared, oldest first.
    pub gaps: Vec<Gap>,
}
