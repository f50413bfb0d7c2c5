//! What was wrong with the order of messages.

use core::error::Error;
use core::fmt;

use crate::lsn::Lsn;
use crate::tag::Tag;
use crate::{Oid, Xid};

/// A message at a place where no server sends it. The connection can no longer be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OrderError {
    /// A change, or the end of a transaction, with none open.
    OutsideTransaction {
        /// The message.
        tag: Tag,
    },
    /// A message that stands outside of transactions and stream blocks came inside of one.
    InsideTransaction {
        /// The message.
        tag: Tag,
    },
    /// The end of another kind of transaction than the one that is open.
    WrongEnd {
        /// The message.
        tag: Tag,
    },
    /// A stream block ends and none is open.
    NoStream,
    /// A change inside a stream block has no transaction prefix, or one outside has: it was
    /// decoded with the wrong `in_stream`.
    TransactionPrefix {
        /// The message.
        tag: Tag,
    },
    /// The end of a transaction is about another one than its begin.
    EndDiffers {
        /// The message.
        tag: Tag,
        /// What the begin said.
        expected: Lsn,
        /// What the end says.
        found: Lsn,
    },
    /// A commit is not behind the one before it, or is at 0/0.
    LsnGoesBack {
        /// The message.
        tag: Tag,
        /// The last position.
        last: Lsn,
        /// The position of this message.
        found: Lsn,
    },
    /// A transaction ends before its commit or prepare record.
    EndBeforeCommit {
        /// The message.
        tag: Tag,
        /// Where the record starts.
        commit_lsn: Lsn,
        /// Where it ends, as the message has it.
        end_lsn: Lsn,
    },
    /// A row or truncate of a relation that was not announced.
    UnknownRelation {
        /// The message.
        tag: Tag,
        /// The relation.
        relation: Oid,
    },
    /// A tuple has not as many values as its relation has columns.
    ColumnCount {
        /// The message.
        tag: Tag,
        /// The relation.
        relation: Oid,
        /// The columns that were announced.
        expected: u16,
        /// The values that came.
        found: usize,
    },
    /// A stream block, commit, prepare or abort of a transaction that was not streamed.
    UnknownStream {
        /// The message.
        tag: Tag,
        /// The transaction.
        xid: Xid,
    },
    /// A block that claims to be the first of a transaction that already has one.
    StreamStartedTwice {
        /// The transaction.
        xid: Xid,
    },
    /// More streamed transactions in progress than a server can run.
    TooManyStreams,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideTransaction { tag } => write!(f, "{tag} outside a transaction"),
            Self::InsideTransaction { tag } => write!(f, "{tag} inside a transaction"),
            Self::WrongEnd { tag } => write!(f, "{tag} ends another kind of transaction"),
            Self::NoStream => f.write_str("stream stop without stream start"),
            Self::TransactionPrefix { tag } => {
                write!(
                    f,
                    "{tag} whose transaction prefix does not fit the stream block"
                )
            }
            Self::EndDiffers {
                tag,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{tag} at {found} of a transaction that began as {expected}"
                )
            }
            Self::LsnGoesBack { tag, last, found } => {
                write!(f, "{tag} at {found}, which is not behind {last}")
            }
            Self::EndBeforeCommit {
                tag,
                commit_lsn,
                end_lsn,
            } => {
                write!(f, "{tag} at {commit_lsn} that ends at {end_lsn}")
            }
            Self::UnknownRelation { tag, relation } => {
                write!(f, "{tag} of relation {relation}, which was not announced")
            }
            Self::ColumnCount {
                tag,
                relation,
                expected,
                found,
            } => write!(
                f,
                "{tag} with {found} values for relation {relation} of {expected} columns"
            ),
            Self::UnknownStream { tag, xid } => {
                write!(f, "{tag} of transaction {xid}, which is not being streamed")
            }
            Self::StreamStartedTwice { xid } => {
                write!(
                    f,
                    "first stream block of transaction {xid}, which already has one"
                )
            }
            Self::TooManyStreams => f.write_str("more streamed transactions than a server can run"),
        }
    }
}

impl Error for OrderError {}
