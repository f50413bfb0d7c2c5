//! Why a change can't be encoded.

use walgate_core::EncodeError;

use crate::ValueError;

/// Why a column can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its value.
    Value(ValueError),
    /// It came in binary form, which nobody asked the server for.
    Binary,
    /// It is to be masked, and there is no key.
    NoMaskKey,
    /// It belongs to the key, and the log does not hold it.
    NotLogged,
}

impl From<ValueError> for Refusal {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

impl Refusal {
    #[cold]
    pub(crate) fn in_column(self, name: &str) -> EncodeError {
        let (what, hint) = match self {
            Self::Value(error) => (error.to_string(), error.hint()),
            Self::Binary => (
                "the value is in binary form".to_owned(),
                "values are asked for as text; the frames come from a connection with the \
                 option binary",
            ),
            Self::NoMaskKey => (
                "it is masked, but there is no key".to_owned(),
                "give the sink a mask key",
            ),
            Self::NotLogged => (
                "it is part of the key, but the log does not hold its value".to_owned(),
                "take the column out of the configured key, or let the server log it: ALTER \
                 TABLE … REPLICA IDENTITY FULL, or USING INDEX with an index that has it",
            ),
        };
        EncodeError {
            message: format!("column {name:?}: {what}"),
            hint: Some(hint.to_owned()),
        }
    }
}

/// A row that does not fit its relation.
#[cold]
pub(crate) fn wrong_count(row: usize, relation: usize) -> EncodeError {
    EncodeError {
        message: format!("a row has {row} columns, its relation {relation}"),
        hint: Some("row and definition do not belong together: please report it".to_owned()),
    }
}

/// A batch that has outgrown its spans.
#[cold]
pub(crate) fn too_large() -> EncodeError {
    EncodeError {
        message: "the batch exceeds 4 GiB".to_owned(),
        hint: Some("give the sink smaller batches".to_owned()),
    }
}
