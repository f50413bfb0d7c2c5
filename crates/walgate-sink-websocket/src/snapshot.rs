//! The rows that match now, and then every change, without a gap and without a stale row.
//!
//! # The way
//!
//! 1. **The cursor is fixed**: an LSN `c` such that every transaction that commits below it has passed
//!    the encoder ([`Hub::passed`](crate::hub::Hub::passed)), and the log is held from there on.
//! 2. **The snapshot is taken**: one transaction, REPEATABLE READ and READ ONLY, whose tables are locked
//!    (ACCESS SHARE) before it sees anything. It is told by a [`Moment`]: which transactions it contains,
//!    and an LSN `e`, the end of the log a moment later. What matches is sent as `read` events.
//! 3. **The window is read** from the journal: from `w`, which is `c` or the commit of the first transaction
//!    before it that the snapshot does not contain ([`Unsettled`]). What commits below `e` is sent when the
//!    snapshot does not contain it, and left out when it does; everything behind `e` is sent.
//! 4. When everything up to `e` was read the client joins the others, as after any replay.
//!
//! # Why nothing is missing, stale, or there twice
//!
//! Let T be a transaction that has changed a row which the client may see.
//!
//! - *T is contained.* Its rows are in the snapshot as it left them, or as a later one that is contained too
//!   did. Its commit record was written before the snapshot was taken, so it lies below `e`, and step 3 leaves
//!   it out: it can't overwrite anything.
//! - *T is not contained, and commits below `c`.* The stream gives a commit as soon as its record is flushed;
//!   visible it becomes when the backend has left the list of the running ones, behind the wait for a
//!   synchronous standby. T has passed the encoder and was not known to be visible, so it is in [`Unsettled`],
//!   and `w` does not lie behind it.
//! - *T is not contained, and commits at `c` or later.* It is read in step 3, or comes behind it.
//!
//! Whatever is sent behind the snapshot comes in the order of the log, and for one row that is the order of its
//! versions: a change that is not contained was made by a transaction which ended after those that are,
//! and two changes of one row never run side by side. So the last event of a row is its last version.
//!
//! That a snapshot contains a transaction is a matter of its top-level id, which is what a Begin has: the list of
//! `pg_current_snapshot()` holds top-level ids only, and a subtransaction ends with its parent, in one step, and
//! has a later id. A prepared transaction is running until COMMIT PREPARED. Ids of the stream have 32 bits; those of
//! the snapshot have 64, and what lies in the window is within 2^31 of them.
//!
//! TRUNCATE and a rewriting ALTER TABLE are not MVCC-safe: an older snapshot finds the table empty behind
//! them. The locks are there before the snapshot, so that none can come in between.
//!
//! What had passed before the process began, or was forgotten, may also not be visible yet: see [`Unsettled`].

mod desk;
mod moment;
mod run;
mod unsettled;
mod window;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use walgate_core::{RowKey, Table, Tuple};

use crate::close::Close;

pub(crate) use desk::SnapshotDesk;
pub use moment::Moment;
pub(crate) use run::{Part, behind};
pub(crate) use unsettled::{Settling, Unsettled};
pub(crate) use window::Window;

/// What may be asked of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotLimits {
    /// Rows that match, at most.
    pub rows: u64,
    /// How long one may take, from its begin on, and how long it may wait for that.
    pub time: Duration,
    /// How many at once; the others wait. With 0 there are none.
    pub at_once: usize,
}

impl Default for SnapshotLimits {
    /// A million rows, a minute, two at once.
    fn default() -> Self {
        Self {
            rows: 1_000_000,
            time: Duration::from_secs(60),
            at_once: 2,
        }
    }
}

/// Tables that are wanted, by schema and name.
pub type WantedTables = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// A future that is given by a trait object.
pub type SnapshotFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, SnapshotError>> + Send + 'a>>;

/// Who can read the rows of the source: given by who owns the connection.
pub trait Snapshots: Send + Sync {
    /// Begins a snapshot of the published tables that are wanted, which the server gives up after `within`.
    fn begin(
        &self,
        wanted: WantedTables,
        within: Duration,
    ) -> SnapshotFuture<'_, Box<dyn Snapshot>>;

    /// Asks the server how far its log was sent: somebody waits for that.
    fn hurry(&self);
}

/// A snapshot that was begun. Dropping it ends it.
pub trait Snapshot: Send {
    /// When it was taken.
    fn moment(&self) -> &Moment;

    /// Gives some of its rows to `reader`; false at the end.
    fn next<'a>(&'a mut self, reader: &'a mut dyn RowReader) -> SnapshotFuture<'a, bool>;
}

/// Who takes the rows of a snapshot.
pub trait RowReader: Send {
    /// Asked before rows of `table` are read: they have to meet all keys of one of these, or any row is wanted.
    /// Others may be given all the same.
    ///
    /// # Errors
    ///
    /// When no row of it can be judged: nothing of it is to be read.
    fn keys(&mut self, table: &Arc<Table>) -> Result<Option<Vec<Vec<RowKey>>>, SnapshotError>;

    /// A row.
    fn take(&mut self, table: &Arc<Table>, row: Tuple<'_>);
}

/// Why there is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotError {
    /// What it means for who asks.
    pub kind: SnapshotErrorKind,
    /// What happened, and what helps.
    pub message: String,
}

/// What it means for who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotErrorKind {
    /// It will be refused again: no right, a standby, a filter that fits nothing.
    Refused,
    /// Too many rows, or too long.
    TooLarge,
    /// Another time it may work.
    Unavailable,
}

impl SnapshotError {
    /// An error of this kind.
    pub fn new(kind: SnapshotErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// How the connection ends with it.
    pub(crate) const fn close(&self) -> Close {
        match self.kind {
            SnapshotErrorKind::Refused => Close::NoSnapshot,
            SnapshotErrorKind::TooLarge => Close::SnapshotTooLarge,
            SnapshotErrorKind::Unavailable => Close::SnapshotUnavailable,
        }
    }
}
