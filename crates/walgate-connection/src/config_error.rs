//! What can be wrong with a connection string, a `PG*` variable or a file that they name.

/// A mistake in the connection parameters. No text of it holds a value that may be (a piece of) a
/// password: a password with an unescaped character ends up in the strangest parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is neither a URL nor key/value pairs.
    #[error("connection string: {problem} at character {position}")]
    Syntax {
        /// Position of the mistake, in characters from 1.
        position: usize,
        /// What is wrong there.
        problem: &'static str,
        /// How to write it.
        hint: &'static str,
    },
    /// The name of a parameter is not one of libpq's.
    #[error("unknown connection parameter \"{name}\"")]
    UnknownParameter {
        /// The name as given.
        name: String,
        /// The known name nearest to it.
        suggestion: Option<&'static str>,
    },
    /// A value that its parameter cannot take.
    #[error("connection parameter {parameter}: {problem}")]
    InvalidValue {
        /// libpq's name of the parameter.
        parameter: &'static str,
        /// What is wrong with the value.
        problem: String,
        /// The values that are allowed, or the way out.
        hint: String,
    },
    /// Values that exclude each other.
    #[error("connection parameters {first} and {second} contradict each other: {problem}")]
    Contradiction {
        /// One parameter.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Why.
        problem: String,
    },
    /// A file that a parameter names cannot be used.
    #[error("connection parameter {parameter}: file {path}: {problem}")]
    File {
        /// libpq's name of the parameter.
        parameter: &'static str,
        /// The path as it was tried.
        path: String,
        /// What is wrong with the file.
        problem: String,
        /// What to do about it.
        hint: String,
    },
}

impl ConfigError {
    pub(crate) fn invalid(
        parameter: &'static str,
        problem: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::InvalidValue {
            parameter,
            problem: problem.into(),
            hint: hint.into(),
        }
    }

    /// What to do about it, as one sentence without a full stop.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { hint, .. } => Some((*hint).to_owned()),
            Self::UnknownParameter { suggestion, .. } => {
                suggestion.map(|name| format!("did you mean \"{name}\"?"))
            }
            Self::InvalidValue { hint, .. } | Self::File { hint, .. } => {
                (!hint.is_empty()).then(|| hint.clone())
            }
            Self::Contradiction { .. } => None,
        }
    }
}
