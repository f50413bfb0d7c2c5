//! Why a record is not an event that can be read.

/// Why a record is not an event that can be read. It never holds a value: that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The record is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The record is not a JSON object.
    #[error("it is not JSON at byte {at}")]
    NotJson {
        /// The first byte that makes no sense, of the part that was being read.
        at: usize,
    },
    /// A key of the event is not there.
    #[error("it has no {0:?}")]
    Missing(&'static str),
    /// A key of the event has a value that is none.
    #[error("its {0:?} makes no sense")]
    Senseless(&'static str),
    /// A row of a table whose `schema` has not come.
    #[error("table {table}: no schema event of it has come before its row")]
    Undefined {
        /// `schema.table`.
        table: String,
    },
    /// A column's value is not of its type.
    #[error("table {table}, column {column:?}: {what}")]
    Value {
        /// `schema.table`.
        table: String,
        /// The column.
        column: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The source's epoch was raised.
    #[error("the epoch of the source was raised from {from} to {to}")]
    Epoch {
        /// The epoch until here.
        from: u8,
        /// The epoch of the record.
        to: u8,
    },
    /// A row that no message of the log has room for.
    #[error("it is too large for a message of the log")]
    TooLarge,
}

impl DecodeError {
    /// What to do about it, or what it may come from.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Undefined { .. } => {
                "it comes again with the first row after a minute; when it does not, the walgate that writes the \
                 topic is older than gateways: upgrade and restart it"
            }
            Self::Epoch { .. } => {
                "start the gateway again: it begins behind the change of the source"
            }
            Self::NotUtf8
            | Self::NotJson { .. }
            | Self::Missing(_)
            | Self::Senseless(_)
            | Self::Value { .. }
            | Self::TooLarge => {
                "see that nothing but the stream_topic of one walgate sink is written there"
            }
        }
    }
}
