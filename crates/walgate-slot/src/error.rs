//! Why a look at the server failed, by what follows from it.

use tokio_postgres::error::SqlState;
use walgate_connection::ConnectError;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchErrorKind {
    /// The connection is gone, the server is starting or stopping, or a standby's replay ended what
    /// was being done: connect again.
    Disconnected,
    /// The server took longer than `statement_timeout`, or did not answer at all.
    TooSlow,
    /// Somebody holds a lock on a catalog that is read; `lock_timeout` ended the wait.
    Locked,
    /// A right is missing.
    Denied,
    /// The server is older than 14.
    TooOld,
    /// There is no such slot, it is in use, or it is no longer what it was.
    Slot,
    /// What the server said makes no sense, or is an error without a class of its own.
    Other,
}

/// A look, or a command, that failed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused, or the connection broke.
    #[error("{doing}: {}", in_words(.source))]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// What came back.
        source: tokio_postgres::Error,
    },
    /// No answer at all.
    #[error("{doing}: no answer within {seconds} s")]
    Silent {
        /// What was being done.
        doing: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The answer can't be read.
    #[error("{doing}: the answer makes no sense: {source}")]
    Malformed {
        /// What was being done.
        doing: &'static str,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// The server is too old.
    #[error("the server is PostgreSQL {version}, and 14 is the oldest that is supported")]
    TooOld {
        /// `server_version`.
        version: String,
    },
}

impl WatchError {
    /// What follows from it.
    #[must_use]
    pub fn kind(&self) -> WatchErrorKind {
        match self {
            Self::Connect(error) => error
                .server()
                .map_or(WatchErrorKind::Disconnected, |error| {
                    by_code(&SqlState::from_code(&error.sqlstate))
                }),
            Self::Sql { source, .. } => source.code().map_or(WatchErrorKind::Disconnected, by_code),
            Self::Silent { .. } => WatchErrorKind::TooSlow,
            Self::Malformed { .. } => WatchErrorKind::Other,
            Self::TooOld { .. } => WatchErrorKind::TooOld,
        }
    }

    /// Whether the same may work in a moment, on a new connection where this one is gone.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.kind() {
            WatchErrorKind::Disconnected | WatchErrorKind::TooSlow | WatchErrorKind::Locked => true,
            WatchErrorKind::Denied
            | WatchErrorKind::TooOld
            | WatchErrorKind::Slot
            | WatchErrorKind::Other => false,
        }
    }

    /// Whether the server itself said no: then nothing was done. After any other failure it may have
    /// been done all the same.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Sql { source, .. } if source.as_db_error().is_some())
    }

    /// Something is no text in the encoding that we asked for (22021, 22P05).
    pub(crate) fn is_of_encoding(&self) -> bool {
        let Self::Sql { source, .. } = self else {
            return false;
        };
        let code = source.code().map(SqlState::code);
        matches!(code, Some("22021" | "22P05"))
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Connect(error) => error.hint(),
            Self::Sql { source, .. } => source
                .as_db_error()
                .and_then(|error| error.hint())
                .map(str::to_owned),
            Self::Silent { .. } | Self::Malformed { .. } | Self::TooOld { .. } => None,
        }
    }

    pub(crate) const fn sql(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }
}

fn by_code(code: &SqlState) -> WatchErrorKind {
    match code.code() {
        "57014" => WatchErrorKind::TooSlow,
        "55P03" => WatchErrorKind::Locked,
        // A standby ends what conflicts with its replay, and a deadlock its victim: the same may work
        // in a moment.
        "40001" | "40P01" => WatchErrorKind::Disconnected,
        // Passwords, rights, pg_hba.conf.
        "42501" | "28000" | "28P01" => WatchErrorKind::Denied,
        "55006" | "42704" | "42710" => WatchErrorKind::Slot,
        // Shutdown, crash, start-up, too many connections, idle time-outs.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "53300" => WatchErrorKind::Disconnected,
        code if code.starts_with("08") => WatchErrorKind::Disconnected,
        _ => WatchErrorKind::Other,
    }
}

/// `tokio-postgres` prints only "db error"; this is the server's own text.
fn in_words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_consequences() {
        for (code, kind) in [
            ("57014", WatchErrorKind::TooSlow),
            ("55P03", WatchErrorKind::Locked),
            ("40001", WatchErrorKind::Disconnected),
            ("40P01", WatchErrorKind::Disconnected),
            ("42501", WatchErrorKind::Denied),
            ("28P01", WatchErrorKind::Denied),
            ("57P01", WatchErrorKind::Disconnected),
            ("08006", WatchErrorKind::Disconnected),
            ("55006", WatchErrorKind::Slot),
            ("22012", WatchErrorKind::Other),
        ] {
            assert_eq!(by_code(&SqlState::from_code(code)), kind, "{code}");
        }
        let silent = WatchError::Silent {
            doing: "look",
            seconds: 5,
        };
        assert!(silent.is_transient());
        assert!(!silent.is_refusal(), "it may have been done");
        assert_eq!(silent.to_string(), "look: no answer within 5 s");
    }
}
