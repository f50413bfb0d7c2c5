//! Why an attempt, or a connection, came to its end.

use std::time::Duration;

use walgate_connection::{ConnectError, ServerError};
use walgate_core::{Failure, Gap, Lsn, StopReason};

use crate::classify::{Class, Reaction, Sound, classify};

/// Why an attempt, or a connection, came to its end, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Try again.
    Retry(Retry),
    /// Somebody else has the slot: its process, and who that is, where it can be seen.
    Busy(Option<i32>, Option<String>),
    /// Changes are lost: the policy decides, and the failure is what it says when it stops.
    Gap(Gap, Failure),
    /// Bytes that make no sense, or a row that can't be sent; the position where it happened.
    Data(Lsn, Failure),
    /// It needs a human.
    Stop(Failure),
}

/// An attempt that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retry {
    /// What happened.
    pub(crate) what: String,
    /// What may help.
    pub(crate) hint: Option<String>,
    /// How often.
    pub(crate) limit: Limit,
}

/// How often an attempt may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Until it works.
    None,
    /// Until it works, but not often.
    Slow,
    /// For so long after the first.
    For(Duration, StopReason),
    /// So many times.
    Times(u32, StopReason),
}

impl Trouble {
    /// Try again.
    pub(crate) fn retry(what: impl Into<String>) -> Self {
        Self::Retry(Retry {
            what: what.into(),
            hint: None,
            limit: Limit::None,
        })
    }

    /// What the server said about something that was asked of it. `at` is where the stream is.
    pub(crate) fn server(error: &ServerError, doing: &str, at: Lsn) -> Self {
        let class = classify(error);
        let what = format!("{doing}: {error}");
        let hint = (!class.hint.is_empty()).then(|| class.hint.to_owned());
        from_class(class, what, hint, at)
    }

    /// A connection that could not be made.
    pub(crate) fn connect(error: &ConnectError) -> Self {
        let what = error.to_string();
        let hint = error.hint();
        if let Some(server) = error.server() {
            let class = classify(server);
            let own = (!class.hint.is_empty()).then(|| class.hint.to_owned());
            return from_class(class, what, hint.or(own), Lsn::ZERO);
        }
        let retry = |limit| {
            Self::Retry(Retry {
                what: what.clone(),
                hint: hint.clone(),
                limit,
            })
        };
        match error {
            ConnectError::Config(_) | ConnectError::Tls(_) | ConnectError::Auth { .. } => {
                Self::Stop(failure(StopReason::Config, what, hint))
            }
            // A command that failed may be waiting for a network, too.
            ConnectError::PasswordCommand { .. } => retry(Limit::Times(3, StopReason::Permission)),
            ConnectError::Protocol { .. } => retry(Limit::Times(3, StopReason::Config)),
            _ => retry(Limit::None),
        }
    }

    /// An SQL statement that failed.
    pub(crate) fn sql(error: &tokio_postgres::Error, doing: &str) -> Self {
        match ServerError::from_sql(error) {
            Some(server) => match Self::server(&server, doing, Lsn::ZERO) {
                // What can't work in SQL won't work the third time either.
                Self::Data(_, failure) => Self::Stop(Failure {
                    reason: StopReason::Config,
                    ..failure
                }),
                other => other,
            },
            None => Self::retry(format!("{doing}: {error}")),
        }
    }

    /// In one line, for a log.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Retry(retry) => retry.what.clone(),
            Self::Busy(pid, who) => in_use(*pid, who.as_deref()),
            Self::Gap(_, failure) | Self::Data(_, failure) | Self::Stop(failure) => {
                failure.message.clone()
            }
        }
    }
}

/// Who has the slot, in words.
pub(crate) fn in_use(pid: Option<i32>, who: Option<&str>) -> String {
    match (who, pid) {
        (Some(who), _) => format!("the slot is in use by process {who}"),
        (None, Some(pid)) => format!("the slot is in use by process {pid}"),
        (None, None) => "the slot is in use".to_owned(),
    }
}

fn from_class(class: Class, what: String, hint: Option<String>, at: Lsn) -> Trouble {
    let retry = |limit| {
        Trouble::Retry(Retry {
            what: what.clone(),
            hint: hint.clone(),
            limit,
        })
    };
    match class.reaction {
        // The slot's row is read before every attempt: when something is wrong with it, that
        // attempt says so. What is left for here is a sound slot.
        Reaction::Retry | Reaction::Probe(Sound::Retry) | Reaction::Done | Reaction::Surface => {
            retry(Limit::None)
        }
        Reaction::RetryFor(time, reason) | Reaction::Probe(Sound::RetryFor(time, reason)) => {
            retry(Limit::For(time, reason))
        }
        Reaction::RetryTimes(times, reason) => retry(Limit::Times(times, reason)),
        Reaction::RetrySlowly => retry(Limit::Slow),
        Reaction::Wait => Trouble::Busy(None, None),
        Reaction::Lost => retry(Limit::Times(2, StopReason::Gap)),
        Reaction::Publication => Trouble::Stop(publication_missing(what, at)),
        Reaction::Stop(reason) => Trouble::Stop(failure(reason, what, hint)),
        Reaction::Data | Reaction::Probe(Sound::Data) => Trouble::Data(
            at,
            failure(StopReason::Data, format!("{what} (behind {at})"), hint),
        ),
    }
}

fn failure(reason: StopReason, message: String, hint: Option<String>) -> Failure {
    Failure {
        reason,
        message,
        hint,
    }
}

/// The publication is missing at a point of the log. If it exists now, the slot is older than it:
/// the log is decoded with the catalog of then, so creating it later never helps.
pub(crate) fn publication_missing(what: String, at: Lsn) -> Failure {
    Failure::new(StopReason::Config, format!("{what} (behind {at})")).hint(
        "the publication did not exist at this point of the log, and changes there would be \
         skipped. If it was dropped, or exists now but was created after the slot: drop the slot \
         (SELECT pg_drop_replication_slot('…')), create the publication first, then a new slot; \
         changes up to then are lost to it",
    )
}
