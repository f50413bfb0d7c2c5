//! A relation as one chain sees it.

use std::sync::Arc;

use crate::Relation;

/// What a chain does with a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnUse {
    /// Pass it on.
    Keep,
    /// Leave it out, as if the table had no such column.
    Drop,
    /// Replace its value by a keyed hash.
    Mask,
}

/// One definition of a relation as one chain sees it: what is kept of it and what identifies a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Unique within the chain: the same id always means the same definition, so an encoder or a
    /// sink may keep what it derives under it.
    pub id: u32,
    /// The definition.
    pub relation: Arc<Relation>,
    /// What is done with each column; as long as the relation's columns.
    pub columns: Vec<ColumnUse>,
    /// Places of the columns of the event's `key`: those configured, in the order given, else
    /// those of [`Relation::key`]. Empty when there is no key.
    pub key: Vec<u16>,
}
