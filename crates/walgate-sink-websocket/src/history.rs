//! What lies before the head of the log: given by who owns the journal.

use std::future::Future;
use std::pin::Pin;

use walgate_core::{Change, Failure, Gap, PgMicros, Position};

/// The log as far as it is retained.
pub trait History: Send + Sync {
    /// Whether it outlives the process: only then a client that comes back is promised anything.
    fn is_durable(&self) -> bool;

    /// Everything behind this position is retained.
    fn oldest(&self) -> Position;

    /// Whether a client that has everything up to `after` can go on behind it. May block, once, for as long as
    /// it takes to read the begin of a segment.
    fn holds(&self, after: Position) -> bool {
        after >= self.oldest()
    }

    /// Everything behind this position can be read now, though nobody who comes back is promised it.
    fn retained(&self) -> Position {
        self.oldest()
    }

    /// The last position that it has.
    fn head(&self) -> Position;

    /// Where a client begins that wants everything that was committed at `time` or later: behind this
    /// position it is. None when what is retained begins later than that. May block for as long as it takes
    /// to read a segment.
    ///
    /// # Errors
    ///
    /// When it can't be read.
    fn position_at(&self, time: PgMicros) -> Result<Option<Position>, Failure> {
        // Who does not know promises nothing.
        let _unknown = time;
        Ok(None)
    }

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
