//! A change as an encoder sees it.

use std::sync::Arc;

use walgate_pgoutput::{Lsn, OldTuple, Tuple};

use crate::{Gap, Position, Table, Transaction};

/// What an event says has happened; the `op` of the native event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A deleted row.
    Delete,
    /// A truncated table.
    Truncate,
    /// A row of a snapshot.
    Read,
    /// `pg_logical_emit_message`.
    Message,
    /// A definition of a table.
    Schema,
    /// A transaction begins.
    Begin,
    /// A transaction is whole.
    Commit,
    /// Changes are lost, and were declared lost.
    Gap,
    /// A row that a push client was given does not match its filter any more.
    Leave,
}

impl Op {
    /// The name in events and configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Read => "read",
            Self::Message => "message",
            Self::Schema => "schema",
            Self::Begin => "begin",
            Self::Commit => "commit",
            Self::Gap => "gap",
            Self::Leave => "leave",
        }
    }
}

/// A change, borrowed from the frames that it came in.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Where it stands. A `schema` has the position before the row that it precedes.
    pub position: Position,
    /// Its transaction; none for a non-transactional message and a gap.
    pub transaction: Option<&'a Transaction>,
    /// What happened.
    pub body: Body<'a>,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    /// A new row.
    Insert {
        /// Its table.
        table: &'a Arc<Table>,
        /// The row.
        new: Tuple<'a>,
    },
    /// A row of a snapshot. It is made by who takes one, never read from the log, and the event has
    /// no position.
    Read {
        /// Its table.
        table: &'a Arc<Table>,
        /// The row.
        new: Tuple<'a>,
    },
    /// A changed row.
    Update {
        /// Its table.
        table: &'a Arc<Table>,
        /// What the log holds of the old row.
        old: Option<OldTuple<'a>>,
        /// The new row.
        new: Tuple<'a>,
    },
    /// A deleted row.
    Delete {
        /// Its table.
        table: &'a Arc<Table>,
        /// What the log holds of the row.
        old: OldTuple<'a>,
    },
    /// One table of a TRUNCATE.
    Truncate {
        /// The table.
        table: &'a Arc<Table>,
        /// CASCADE was given.
        cascade: bool,
        /// RESTART IDENTITY was given.
        restart_identity: bool,
    },
    /// A logical message.
    Message {
        /// The message's own LSN.
        lsn: Lsn,
        /// Whether it belongs to a transaction.
        transactional: bool,
        /// Its prefix.
        prefix: &'a str,
        /// Its content, any bytes.
        content: &'a [u8],
    },
    /// A definition of a table, before the first row that uses it.
    Schema {
        /// The table.
        table: &'a Arc<Table>,
    },
    /// The transaction begins.
    Begin,
    /// The transaction is whole.
    Commit {
        /// How many of its changes this output was given.
        changes: u64,
    },
    /// Changes in between are lost.
    Gap(&'a Gap),
    /// An update has taken a row out of a filter. It is made by who filters, never read from the log.
    Leave {
        /// Its table.
        table: &'a Arc<Table>,
        /// The row that matched.
        old: OldTuple<'a>,
        /// The row that does not, for key columns that the log has of it alone.
        new: Tuple<'a>,
    },
}

impl<'a> Body<'a> {
    /// The operation.
    pub const fn op(&self) -> Op {
        match self {
            Self::Insert { .. } => Op::Insert,
            Self::Read { .. } => Op::Read,
            Self::Update { .. } => Op::Update,
            Self::Delete { .. } => Op::Delete,
            Self::Truncate { .. } => Op::Truncate,
            Self::Message { .. } => Op::Message,
            Self::Schema { .. } => Op::Schema,
            Self::Begin => Op::Begin,
            Self::Commit { .. } => Op::Commit,
            Self::Gap(_) => Op::Gap,
            Self::Leave { .. } => Op::Leave,
        }
    }

    /// The table, where there is one.
    pub const fn table(&self) -> Option<&'a Arc<Table>> {
        match self {
            Self::Insert { table, .. }
            | Self::Read { table, .. }
            | Self::Update { table, .. }
            | Self::Delete { table, .. }
            | Self::Truncate { table, .. }
            | Self::Leave { table, .. }
            | Self::Schema { table } => Some(table),
            Self::Message { .. } | Self::Begin | Self::Commit { .. } | Self::Gap(_) => None,
        }
    }
}
