//! What of the log is sent behind a snapshot.

use std::sync::Arc;

use walgate_core::{Change, Lsn, Position};

use super::{Moment, Snapshots};

/// The part of the log of which a snapshot contains some.
pub(crate) struct Window {
    pub(crate) moment: Moment,
    /// Where it begins: nothing that commits before is missing in the snapshot.
    pub(crate) from: Position,
    /// The cursor: what is of no transaction and lies before it is past.
    pub(crate) cursor: Lsn,
    pub(crate) source: Arc<dyn Snapshots>,
}

impl Window {
    /// Whether who has the snapshot is to be given this.
    pub(crate) fn takes(&self, change: &Change<'_>) -> bool {
        match change.transaction {
            Some(transaction) => {
                transaction.commit_lsn >= self.moment.end || !self.moment.contains(transaction.xid)
            }
            None => change.position.lsn() >= self.cursor,
        }
    }

    /// Whether nothing that the snapshot contains comes behind `read`.
    pub(crate) fn is_past(&self, read: Position) -> bool {
        read.epoch() > self.from.epoch() || read.lsn() >= self.moment.end
    }
}
