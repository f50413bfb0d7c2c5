//! Changes that are lost, and were declared lost.

use std::fmt;

use walgate_pgoutput::Lsn;

/// Changes between two LSNs are lost for a sink or for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The last LSN up to which everything was delivered.
    pub from: Lsn,
    /// Everything that commits behind this LSN is delivered again.
    pub to: Lsn,
    /// Why.
    pub reason: GapReason,
}

/// Why changes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// An optional sink fell so far behind that the journal has dropped what it still needed.
    SinkFellBehind,
    /// The slot is ahead of what was delivered: somebody advanced or re-created it.
    SlotAhead,
    /// The slot was invalidated or dropped.
    SlotLost,
    /// A temporary slot ended with its connection.
    TemporarySlot,
    /// The server's history branched off below what was delivered.
    Timeline,
    /// The journal on disk is damaged there, and the slot no longer has it.
    JournalDamaged,
}

impl GapReason {
    /// All of them.
    const ALL: [Self; 6] = [
        Self::SinkFellBehind,
        Self::SlotAhead,
        Self::SlotLost,
        Self::TemporarySlot,
        Self::Timeline,
        Self::JournalDamaged,
    ];

    /// The reason of that name in an event.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SinkFellBehind => "sink_fell_behind",
            Self::SlotAhead => "slot_ahead",
            Self::SlotLost => "slot_lost",
            Self::TemporarySlot => "temporary_slot",
            Self::Timeline => "timeline",
            Self::JournalDamaged => "journal_damaged",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
