//! What the log may use, and when it syncs.

use std::time::Duration;

use crate::storage::Space;

/// How the log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// A segment that has reached this size is sealed, and the next begins. A segment is larger by
    /// at most one record.
    pub segment_bytes: u64,
    /// The longest time for which something written stays unsynced.
    pub sync_every: Duration,
    /// As many written bytes are synced without waiting for [`sync_every`](Self::sync_every).
    pub sync_bytes: u64,
    /// What is kept for replay beyond what required readers need, in bytes.
    pub replay_bytes: u64,
    /// What is kept for replay is not older than this.
    pub replay_age: Duration,
    /// What all segments together may take, in bytes; none: see [`budget`](Self::budget).
    pub budget_bytes: Option<u64>,
    /// The part of the file system that stays free, in percent.
    pub keep_free_percent: u8,
}

/// Large enough that sealing and deleting are rare, small enough that space comes back in steps.
const SEGMENT_BYTES: u64 = 64 << 20;
/// A commit waits at most this long for its confirmation: beside the second between two
/// confirmations to the server it is nothing, and 20 syncs a second are no load for any disk.
const SYNC_EVERY: Duration = Duration::from_millis(50);
/// What a disk of 80 MB/s writes in the same time.
const SYNC_BYTES: u64 = 4 << 20;
const REPLAY_BYTES: u64 = 1 << 30;
const REPLAY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Hours of outage for most sources, and less than most disks have free.
const BUDGET_BYTES: u64 = 20 << 30;
const KEEP_FREE_PERCENT: u8 = 10;
/// With eight segments in the budget, an eighth of it at most is taken by what can't be deleted yet.
const LEAST_SEGMENTS: u64 = 8;

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            sync_every: SYNC_EVERY,
            sync_bytes: SYNC_BYTES,
            replay_bytes: REPLAY_BYTES,
            replay_age: REPLAY_AGE,
            budget_bytes: None,
            keep_free_percent: KEEP_FREE_PERCENT,
        }
    }
}

impl LogOptions {
    /// The budget in bytes: as configured, else the smaller of 20 GiB and half of the file system.
    pub fn budget(&self, space: Option<Space>) -> u64 {
        self.budget_bytes.unwrap_or_else(|| {
            space.map_or(BUDGET_BYTES, |space| BUDGET_BYTES.min(space.total / 2))
        })
    }

    /// The size at which segments are sealed, with this budget: space comes back only in whole
    /// segments, so a budget has to hold several.
    pub(super) fn segment_size(&self, budget_bytes: u64) -> u64 {
        self.segment_bytes.min(budget_bytes / LEAST_SEGMENTS).max(1)
    }
}
