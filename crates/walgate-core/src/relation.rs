//! A relation as the stream defines it, with the facts that only the catalog has.

use walgate_pgoutput::{Oid, ReplicaIdentity};

use crate::Shape;

/// A definition of a relation, as it arrived in the stream.
///
/// A relation is announced again whenever it has changed; rows belong to the definition under
/// which they arrived. Definitions are shared (`Arc`) by all frames that use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The relation's OID in the source.
    pub oid: Oid,
    /// The schema, as PostgreSQL names it; `pg_catalog` where the stream sends an empty name.
    pub schema: String,
    /// The table, as PostgreSQL names it.
    pub name: String,
    /// The replica identity: what the log holds of an old row.
    pub identity: ReplicaIdentity,
    /// The published columns, in table order.
    pub columns: Vec<Column>,
    /// Places in [`columns`](Self::columns) of the primary key, asked of the catalog for a table
    /// with REPLICA IDENTITY FULL; empty otherwise or where there is none.
    pub primary_key: Vec<u16>,
}

impl Relation {
    /// The places of the columns that identify a row, in column order: those of the replica
    /// identity, with FULL those of the primary key. Empty when there are none.
    pub fn key(&self) -> Vec<u16> {
        match self.identity {
            ReplicaIdentity::Full => self.primary_key.clone(),
            ReplicaIdentity::Nothing => Vec::new(),
            ReplicaIdentity::Default | ReplicaIdentity::Index => (0u16..)
                .zip(&self.columns)
                .filter(|(_, column)| column.key)
                .map(|(place, _)| place)
                .collect(),
        }
    }
}

/// A column of a [`Relation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name, never quoted, never folded.
    pub name: String,
    /// The type's OID.
    pub type_oid: Oid,
    /// The type's name (`pg_type.typname`), as the stream's Type message or the catalog gives it;
    /// empty for a built-in type, whose OID says it, and where nobody could tell.
    pub type_name: String,
    /// The type modifier, -1 where there is none.
    pub typmod: i32,
    /// Whether the stream flags the column as part of the replica identity (with FULL: all).
    pub key: bool,
    /// How its values are read.
    pub shape: Shape,
}
