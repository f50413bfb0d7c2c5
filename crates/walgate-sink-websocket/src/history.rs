//! What lies before the head of the log: given by who owns the journal.

use std::future::Future;
use std::pin::Pin;

use walgate_core::{Change, Failure, Gap, Position};

/// The log as far as it is retained.
pub trait History: Send + Sync {
    /// Whether it outlives the process: only then a client that comes back is promised anything.
    fn is_durable(&self) -> bool;

    /// Everything behind this position is retained.
    fn oldest(&self) -> Position;

    /// The last position that it has.
    fn head(&self) -> Position;

    /// Reads what comes behind `after`.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    fn read(&self, after: Position) -> Result<Box<dyn Backlog>, Failure>;
}

/// A way through the log, from a position on.
pub trait Backlog: Send {
    /// Gives the next changes to `take`, in order; called again it reads on where it was. Cancel-safe:
    /// it waits before it gives the first, and not behind that.
    fn next<'a>(
        &'a mut self,
        take: &'a mut (dyn for<'c> FnMut(&Change<'c>) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Read, Failure>> + Send + 'a>>;
}

/// How far a [`Backlog`] has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Everything up to here was given, and there may be more at once.
    More(Position),
    /// Everything that there is was given, up to here.
    End(Position),
    /// What comes next is not retained any more.
    Gone(Gap),
}
