//! Why there is no connection, or none any more, and what is to be done about it.

use std::time::Duration;

use reqwest::StatusCode;
use walgate_core::{Failure, StopReason};

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It may be there later, and not before the time that the server asks for.
    Later(String, Option<Duration>),
    /// The token opens nothing.
    Token(String),
    /// What was missed can't be had any more; what can be had begins there.
    Resync(String, Option<String>),
    /// A human is needed.
    Final(Failure),
}

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    /// Somebody took the connection; another request may be answered otherwise.
    pub(super) is_connected: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            is_connected: false,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        refused.refusal
    }
}

impl Refusal {
    /// By the status of an answer and what it says.
    pub(super) fn of_status(status: StatusCode, said: &str, after: Option<Duration>) -> Self {
        let said = said.trim();
        let what = match said.is_empty() {
            true => format!("the server answers {status}"),
            false => format!("the server answers {status}: {said}"),
        };
        let failure = |reason, hint: &str| Self::Final(Failure::new(reason, &what).hint(hint));
        match status.as_u16() {
            401 => Self::Token(what),
            403 => failure(
                StopReason::Permission,
                "ask who runs the server for access, or name it by an address that it knows as its own",
            ),
            408 | 425 | 429 | 500.. => Self::Later(what, after),
            400 => failure(
                StopReason::Config,
                "walgate follow --help tells what can be asked for",
            ),
            _ => failure(
                StopReason::Config,
                "give the URL of a Walgate with a sink of type websocket: what it listens on is in its log",
            ),
        }
    }

    /// By the code that a connection was closed with (the table of the protocol page).
    pub(super) fn of_close(code: u16, reason: &str) -> Self {
        let what = match reason.is_empty() {
            true => format!("the server has closed the connection ({code})"),
            false => format!("the server has closed the connection: {reason} ({code})"),
        };
        match code {
            4400 => Self::Final(Failure::new(StopReason::Config, what).hint(
                "mend --table, --where and --columns; the language of --where is in FILTERS.md",
            )),
            4401 => Self::Token(what),
            4411 | 4412 => Self::Final(
                Failure::new(StopReason::Config, what)
                    .hint("follow without --snapshot, or narrow it with --table and --where"),
            ),
            4410 => Self::Resync(reason.to_owned(), None),
            1002 | 1003 | 1007 | 1009 => Self::Final(Failure::new(StopReason::Data, what)),
            _ => Self::Later(what, None),
        }
    }
}

/// The error of a request, with its deepest cause and without the address.
pub(super) fn of_request(error: reqwest::Error) -> Refusal {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let told = cause.to_string();
    if told.contains("invalid peer certificate") {
        let failure = Failure::new(
            StopReason::Config,
            format!("the server is not who it says: {told}"),
        );
        return Refusal::Final(failure.hint("trust the authority of its certificate: --ca FILE"));
    }
    Refusal::Later(format!("no connection: {told}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_code(refusal: &Refusal) -> Option<u8> {
        match refusal {
            Refusal::Final(failure) => Some(failure.reason.exit_code()),
            Refusal::Later(..) | Refusal::Token(_) | Refusal::Resync(..) => None,
        }
    }

    #[test]
    fn every_code_of_the_protocol_has_its_consequence() {
        for code in [
            0, 1001, 1006, 1013, 4408, 4409, 4429, 4430, 4503, 4504, 4508,
        ] {
            let refusal = Refusal::of_close(code, "");
            assert!(matches!(refusal, Refusal::Later(_, None)), "{code}");
        }
        for (code, exit) in [
            (4400, 2),
            (4411, 2),
            (4412, 2),
            (1002, 7),
            (1003, 7),
            (1007, 7),
            (1009, 7),
        ] {
            assert_eq!(
                exit_code(&Refusal::of_close(code, "why")),
                Some(exit),
                "{code}"
            );
        }
        assert!(matches!(Refusal::of_close(4401, ""), Refusal::Token(_)));
        assert!(matches!(Refusal::of_close(4410, ""), Refusal::Resync(..)));
    }

    #[test]
    fn every_status_has_its_consequence() {
        let of = |status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            Refusal::of_status(status, "text\n", Some(Duration::from_secs(1)))
        };
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(of(status), Refusal::Later(_, Some(_))), "{status}");
        }
        assert!(matches!(of(401), Refusal::Token(_)));
        for (status, exit) in [(400, 2), (403, 3), (404, 2), (302, 2), (200, 2)] {
            assert_eq!(exit_code(&of(status)), Some(exit), "{status}");
        }
    }
}
