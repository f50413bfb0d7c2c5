//! What was wrong with a message of the stream.

use walgate_core::Oid;
use walgate_pgoutput::{DecodeError, OrderError, Tag};

/// A message that can't be taken: the connection is closed and the position stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SequenceError {
    /// The bytes are not a message.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The message has no place here.
    #[error("{0}")]
    Order(#[from] OrderError),
    /// A message of a feature that was not asked for.
    #[error("{0} message, which was not asked for")]
    NotAskedFor(Tag),
    /// A change outside a transaction.
    #[error("a change outside a transaction")]
    NoTransaction,
    /// More changes in a transaction than positions can count.
    #[error("a transaction of more than 4294967293 changes")]
    TooManyChanges,
    /// More tables than fit into one run of frames.
    #[error("more tables in one truncate than a run of frames can hold")]
    TooManyTables,
    /// A row of a relation that was not announced.
    #[error("a row of relation {0}, which was not announced")]
    UnknownRelation(Oid),
    /// A run of more than 4 GiB.
    #[error("a run of messages of more than 4 GiB")]
    RunTooLong,
}
