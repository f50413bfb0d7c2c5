//! Gauges of the journal.

use walgate_core::{Lsn, PgMicros, Position};

pub use crate::log::DiskState;

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
    /// The log on disk, when there is one: the rest is about the window in memory.
    pub disk: Option<DiskStats>,
}

/// How full the log on disk is, and how the disk does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskStats {
    /// Size of all segments, in bytes.
    pub bytes: u64,
    /// What they may take, in bytes.
    pub budget_bytes: u64,
    /// What transactions take of the disk that have not committed, or have and are not in a segment
    /// yet, in bytes.
    pub spool_bytes: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Everything up to here is no longer kept.
    pub oldest: Position,
    /// When the oldest segment was begun.
    pub oldest_time: Option<PgMicros>,
    /// Everything that commits below this LSN is safe on disk.
    pub synced: Lsn,
    /// Whether the disk takes what is written.
    pub state: DiskState,
    /// When the budget is used up: the required readers that hold the oldest segment, furthest
    /// behind first. The journal takes no more until they go on.
    pub held_by: Vec<String>,
    /// Whether the budget, or what the file system may be used for, is used up.
    pub full: bool,
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
    /// Memory from its first unreleased run in memory on, in bytes.
    pub behind_bytes: u64,
    /// Runs in memory from its first unreleased one on.
    pub behind_entries: u64,
    /// What it has not released of the log on disk, in bytes; in whole segments but for the last.
    pub behind_disk_bytes: u64,
    /// Whether it reads from memory, not from disk.
    pub in_memory: bool,
}
