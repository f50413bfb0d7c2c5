//! What is counted, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts from the start of the process on.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections that were taken.
    pub(crate) connections: AtomicU64,
    /// Connections that were refused: too many, no right, not the protocol.
    pub(crate) refused: AtomicU64,
    /// Connections that were ended because their client was too slow.
    pub(crate) slow: AtomicU64,
    /// Connections that began with a replay.
    pub(crate) resumed: AtomicU64,
    /// Connections that were told to take a new copy.
    pub(crate) resyncs: AtomicU64,
    /// Events that were left out of a replay because they can't be encoded.
    pub(crate) unencodable: AtomicU64,
    /// Changes that somebody was not given because a row rule could not be judged.
    pub(crate) undecided: AtomicU64,
    /// Snapshots that were taken, each once for all who shared it.
    pub(crate) snapshots: AtomicU64,
    /// Rows of them.
    pub(crate) snapshot_rows: AtomicU64,
    /// Snapshots that were refused or broke.
    pub(crate) snapshots_failed: AtomicU64,
    /// Events that were put into queues.
    pub(crate) deliveries: AtomicU64,
}

impl Counters {
    /// One more.
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
