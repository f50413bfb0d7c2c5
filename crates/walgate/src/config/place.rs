//! Where a value comes from.

use std::fmt;
use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: Arc<str>,
    /// From 1; 0 stands for the file as a whole.
    pub line: usize,
    /// In characters, from 1; 0 stands for the line as a whole.
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File(Place),
    /// The configuration file, with parts put in from elsewhere: the value may be a secret.
    Substituted {
        /// Where the template stands.
        place: Place,
        /// What was put in: `environment NAME` and `file PATH`.
        sources: Vec<String>,
    },
    /// The command line.
    CommandLine,
}

impl Origin {
    /// The place in the file.
    pub const fn place(&self) -> Option<&Place> {
        match self {
            Self::File(place) | Self::Substituted { place, .. } => Some(place),
            Self::Default | Self::CommandLine => None,
        }
    }

    /// Whether the value must not be shown.
    pub const fn is_hidden(&self) -> bool {
        matches!(self, Self::Substituted { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => write!(f, "{}:{}", place.file, place.line),
            Self::Substituted { place, sources } => {
                write!(f, "{}:{}, {}", place.file, place.line, sources.join(", "))
            }
            Self::CommandLine => f.write_str("command line"),
        }
    }
}
