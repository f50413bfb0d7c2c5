//! Gauges of the journal.

use walgate_core::Position;

use crate::Demand;

/// How full the journal is, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStats {
    /// Memory that is held, in bytes.
    pub bytes: usize,
    /// Memory that may be held, in bytes.
    pub budget_bytes: usize,
    /// Runs of frames that are held.
    pub entries: usize,
    /// Everything up to here is no longer kept.
    pub oldest: Position,
    /// The last position that was appended.
    pub newest: Position,
    /// Whether an append waits for room: the source is held back.
    pub held_back: bool,
    /// The readers, in the order in which they came.
    pub readers: Vec<ReaderStats>,
}

/// How far a reader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderStats {
    /// Its name.
    pub name: String,
    /// Whether the source waits for it.
    pub demand: Demand,
    /// The last position that it has released.
    pub released: Position,
    /// Memory from its first unreleased run on, in bytes.
    pub behind_bytes: u64,
    /// Runs from its first unreleased one on.
    pub behind_entries: u64,
}
