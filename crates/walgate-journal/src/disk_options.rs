//! How the journal on disk is kept.

use std::path::PathBuf;
use std::time::Duration;

use crate::DEFAULT_BUDGET_BYTES;
use crate::log::{LogOptions, SpoolOptions};
use crate::segment::{Compression, Keyring};

/// Sixteen parts of a spool, and little beside what a sink's client takes.
const SPOOL_MEMORY_BYTES: usize = 8 << 20;

/// How the journal on disk is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskOptions {
    /// The folder of the segments; it is made when it is not there.
    pub folder: PathBuf,
    /// A segment that has reached this size is sealed, and the next begins. At most an eighth of
    /// the budget.
    pub segment_bytes: u64,
    /// The longest time for which something that was appended stays unsynced.
    pub sync_every: Duration,
    /// As many written bytes are synced at once.
    pub sync_bytes: u64,
    /// What is kept for replay beyond what required readers need, in bytes.
    pub replay_bytes: u64,
    /// What is kept for replay is not older than this.
    pub replay_age: Duration,
    /// What all segments may take, in bytes; none: the smaller of 20 GiB and half of the file
    /// system.
    pub budget_bytes: Option<u64>,
    /// The part of the file system that stays free, in percent.
    pub keep_free_percent: u8,
    /// What happens when the budget is used up because required readers are behind.
    pub on_full: OnFull,
    /// What happens when a reader meets damage.
    pub on_damage: OnDamage,
    /// Memory for the newest part of the log, in bytes.
    pub memory_bytes: usize,
    /// Memory for transactions that run, all together, in bytes: one that is smaller touches no disk
    /// before it commits, and what goes to disk goes in large writes.
    pub spool_memory_bytes: usize,
    /// What the spools of transactions that run may take of the disk, in bytes; none: half of the
    /// budget.
    pub spool_bytes: Option<u64>,
    /// How full segments are compressed; those of earlier starts stay as they are.
    pub compression: Compression,
    /// The master keys: with them what is written is encrypted, and what was can be read.
    pub keys: Keyring,
}

/// What happens when the budget is used up because required readers are behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnFull {
    /// Appends wait, and the slot takes over.
    #[default]
    Hold,
    /// These readers may be released, in this order: the first that holds the log becomes an
    /// optional one, and loses what it still needs, with a gap. When none of them holds it, appends
    /// wait.
    Release(Vec<String>),
}

/// What happens when a reader meets damage of what was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDamage {
    /// It stops with a failure that names the place.
    #[default]
    Stop,
    /// It is told of a gap, and goes on behind it.
    Gap,
}

impl DiskOptions {
    /// The defaults, in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let log = LogOptions::default();
        Self {
            folder: folder.into(),
            segment_bytes: log.segment_bytes,
            sync_every: log.sync_every,
            sync_bytes: log.sync_bytes,
            replay_bytes: log.replay_bytes,
            replay_age: log.replay_age,
            budget_bytes: log.budget_bytes,
            keep_free_percent: log.keep_free_percent,
            on_full: OnFull::default(),
            on_damage: OnDamage::default(),
            memory_bytes: DEFAULT_BUDGET_BYTES,
            spool_memory_bytes: SPOOL_MEMORY_BYTES,
            spool_bytes: None,
            compression: Compression::None,
            keys: Keyring::default(),
        }
    }

    /// What the spools of transactions that run may take, with this budget.
    pub(crate) fn spools(&self, budget: u64) -> SpoolOptions {
        SpoolOptions {
            memory_bytes: self.spool_memory_bytes,
            disk_bytes: self.spool_bytes.unwrap_or(budget / 2),
            keep_free_percent: self.keep_free_percent,
        }
    }

    pub(crate) fn log(&self) -> LogOptions {
        LogOptions {
            segment_bytes: self.segment_bytes,
            sync_every: self.sync_every,
            sync_bytes: self.sync_bytes,
            replay_bytes: self.replay_bytes,
            replay_age: self.replay_age,
            budget_bytes: self.budget_bytes,
            keep_free_percent: self.keep_free_percent,
        }
    }
}
