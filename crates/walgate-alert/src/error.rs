//! Why something was not told.

use std::time::Duration;

/// Why something was not told. It holds no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may work later: no connection, no answer in time, or an answer that says so.
    #[error("{what}")]
    Transient {
        /// What happened.
        what: String,
        /// When the other side wants to be asked again.
        after: Option<Duration>,
    },
    /// It will never work like this.
    #[error("{what}")]
    Refused {
        /// What happened.
        what: String,
    },
}

impl SendError {
    pub(crate) fn transient(what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Transient { what, after: None }
    }

    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }
}
