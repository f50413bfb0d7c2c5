//! Why a filter does not fit a table.

/// A filter that does not fit a definition of a table. It names only columns that the subscriber
/// may see, and repeats what the subscriber wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// There is no such column, or the subscriber must not see it.
    #[error("table {table} has no column {column}; {columns}")]
    UnknownColumn {
        /// The column.
        column: String,
        /// The table with its schema.
        table: String,
        /// Which columns it has, as a sentence's end.
        columns: String,
    },
    /// A literal is not of the column's type.
    #[error("column {column} of {table} is {type_name}, so that {literal} has to be {wanted}")]
    Literal {
        /// The column.
        column: String,
        /// The table with its schema.
        table: String,
        /// The column's type.
        type_name: String,
        /// The literal as a filter writes it.
        literal: String,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// The values of the column have no order that is known here.
    #[error(
        "column {column} of {table} is {type_name}, whose order the stream does not tell; use = \
         or in"
    )]
    Unordered {
        /// The column.
        column: String,
        /// The table with its schema.
        table: String,
        /// The column's type.
        type_name: String,
    },
    /// The values of the column can't be compared.
    #[error(
        "column {column} of {table} is {type_name}, which filters do not compare; use is null or \
         is not null"
    )]
    NullTestsOnly {
        /// The column.
        column: String,
        /// The table with its schema.
        table: String,
        /// The column's type.
        type_name: String,
    },
}
