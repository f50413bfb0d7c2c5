//! Why a connection has to be made anew although nothing is wrong with it.

use std::fmt;

use walgate_core::Xid;

use crate::transcript::Untold;

/// Why a connection has to be made anew although nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Again {
    /// A transaction has to come after its commit.
    Unstream(Unstream),
    /// The transaction for which streaming was off has passed.
    Restream,
    /// More definitions than are kept: the server announces again what it needs.
    Forget,
    /// Values have to come as text.
    Text(Untold),
}

/// A transaction that has to come after its commit, because its stream can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unstream {
    /// The top-level transaction.
    pub(crate) xid: Xid,
    /// Why.
    pub(crate) why: Why,
}

/// Why the stream of a transaction can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// A sub-transaction was rolled back, and the stream does not tell whether a logical message
    /// belongs to it.
    WhoseMessage {
        /// The sub-transaction.
        sub: Xid,
    },
    /// It is longer than one may be.
    TooLarge(Size),
    /// All that are open are longer than they may be together, and it is the longest.
    TooLargeTogether(Size),
    /// More sub-transactions or definitions than are kept in memory.
    TooManyParts,
    /// Whoever keeps it has no room, for this reason. How large it is, where that is known.
    NoRoom(String, Option<Size>),
}

/// How large a transaction has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Size {
    /// What was counted: bytes.
    pub(crate) bytes: u64,
    /// What is allowed: bytes.
    pub(crate) max: u64,
    /// The tables that it has changed so far.
    pub(crate) tables: Vec<String>,
}

impl Unstream {
    /// Whether it is a matter of size, for which there is a policy.
    pub(crate) const fn is_too_large(&self) -> bool {
        matches!(
            self.why,
            Why::TooLarge(_) | Why::TooLargeTogether(_) | Why::NoRoom(..)
        )
    }
}

impl fmt::Display for Unstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let xid = self.xid;
        match &self.why {
            Why::WhoseMessage { sub } => write!(
                f,
                "sub-transaction {sub} of transaction {xid} was rolled back, and the stream does not \
                 tell whether a logical message belongs to it"
            ),
            Why::TooLarge(size) => write!(
                f,
                "transaction {xid} has {} bytes so far, more than max_transaction ({}), in {size}",
                size.bytes, size.max
            ),
            Why::TooLargeTogether(size) => write!(
                f,
                "the open transactions have {} bytes so far, more than may be kept ({}); the \
                 longest is transaction {xid}, in {size}",
                size.bytes, size.max
            ),
            Why::NoRoom(why, None) => write!(f, "transaction {xid} can't be kept: {why}"),
            Why::NoRoom(why, Some(size)) => write!(
                f,
                "transaction {xid}, which has {} bytes so far, in {size}, can't be kept: {why}",
                size.bytes
            ),
            Why::TooManyParts => write!(
                f,
                "transaction {xid} has more sub-transactions or definitions than are kept"
            ),
        }
    }
}

/// Tables that are named in a message.
const NAMED: usize = 5;

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, table) in self.tables.iter().take(NAMED).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{table}")?;
        }
        match self.tables.len() {
            0 => f.write_str("no table"),
            more @ 6.. => write!(f, " and {} more", more - NAMED),
            _ => Ok(()),
        }
    }
}
