//! Which rows of a table are read, where not all are wanted.

/// Rows of which a column has one of these values. A null is none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowKey {
    /// The column's name.
    pub column: String,
    /// What it has to equal.
    pub values: KeyValues,
}

/// Values of a type whose equality is the server's own, so that an index can find them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValues {
    /// Of int2, int4 or int8.
    Integers(Vec<i64>),
    /// Of text or varchar, without NUL, which no text of PostgreSQL has.
    Texts(Vec<String>),
    /// Of uuid, as PostgreSQL prints them.
    Uuids(Vec<String>),
}
