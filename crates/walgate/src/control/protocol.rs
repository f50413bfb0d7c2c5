//! Requests and answers, as JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use walgate_core::{Failure, StopReason};
use walgate_pipeline::Accepted;

/// The version of the protocol.
const VERSION: u64 = 1;

/// What a service is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// To give a sink events again.
    Rewind(RewindAsked),
    /// How it does.
    Status,
}

/// `rewind`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewindAsked {
    pub(crate) sink: String,
    /// An LSN, an event id, or a time.
    pub(crate) to: String,
    /// Events that come again may stand behind newer ones.
    #[serde(default)]
    pub(crate) accept_reorder: bool,
}

/// What a service answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    v: u64,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rewind: Option<RewindAnswer>,
    /// The document that `STATUS.md` describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorAnswer>,
}

/// A rewind that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RewindAnswer {
    pub(crate) id: String,
    pub(crate) sink: String,
    /// Before the first transaction that comes again.
    pub(crate) from: String,
    /// The last event that the sink has.
    pub(crate) delivered: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ErrorAnswer {
    code: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Command {
    /// As one line.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let (name, mut value) = match self {
            Self::Rewind(asked) => ("rewind", serde_json::to_value(asked).unwrap_or_default()),
            Self::Status => ("status", Value::Object(serde_json::Map::new())),
        };
        if let Some(object) = value.as_object_mut() {
            object.insert("v".to_owned(), VERSION.into());
            object.insert("command".to_owned(), name.into());
        }
        let mut line = value.to_string().into_bytes();
        line.push(b'\n');
        line
    }

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// When it is none of this version.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Failure> {
        let refused = |what: String| Failure::new(StopReason::Config, what);
        let no_request = |error: serde_json::Error| refused(format!("no request: {error}"));
        let mut value: Value = serde_json::from_slice(line).map_err(no_request)?;
        let object = value
            .as_object_mut()
            .ok_or_else(|| refused("no request: it is no object".to_owned()))?;
        let version = object.remove("v").and_then(|v| v.as_u64());
        if version != Some(VERSION) {
            let message = format!("this walgate speaks version {VERSION} of the control protocol");
            return Err(refused(message).hint("ask with the walgate that runs the service"));
        }
        let command = object.remove("command");
        match command.as_ref().and_then(Value::as_str) {
            Some("rewind") => Ok(Self::Rewind(
                serde_json::from_value(value).map_err(no_request)?,
            )),
            Some("status") if object.is_empty() => Ok(Self::Status),
            Some("status") => Err(refused("no request: status takes no keys".to_owned())),
            other => {
                let message = format!("there is no command {:?}", other.unwrap_or_default());
                Err(refused(message).hint("there are: rewind, status"))
            }
        }
    }
}

impl Answer {
    /// A rewind was accepted.
    pub(crate) fn rewinding(sink: String, accepted: Accepted) -> Self {
        Self {
            v: VERSION,
            ok: true,
            status: None,
            rewind: Some(RewindAnswer {
                id: accepted.id,
                sink,
                from: accepted.from.to_string(),
                delivered: accepted.delivered.to_string(),
            }),
            error: None,
        }
    }

    /// How it does.
    pub(crate) fn status(status: Value) -> Self {
        Self {
            v: VERSION,
            ok: true,
            rewind: None,
            status: Some(status),
            error: None,
        }
    }

    /// It was not done.
    pub(crate) fn refused(failure: Failure) -> Self {
        Self {
            v: VERSION,
            ok: false,
            rewind: None,
            status: None,
            error: Some(ErrorAnswer {
                code: failure.reason.exit_code(),
                message: failure.message,
                hint: failure.hint,
            }),
        }
    }

    /// As one line.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Reads an answer; a refusal as the failure that it tells.
    pub(crate) fn parse(line: &[u8]) -> Result<Result<Self, Failure>, serde_json::Error> {
        let answer: Self = serde_json::from_slice(line)?;
        Ok(match &answer.error {
            None => Ok(answer),
            Some(error) => Err(failure(error)),
        })
    }
}

fn failure(error: &ErrorAnswer) -> Failure {
    let reasons = [
        StopReason::Permission,
        StopReason::Gap,
        StopReason::SlotBusy,
        StopReason::Sink,
        StopReason::Data,
        StopReason::State,
    ];
    let reason = reasons
        .into_iter()
        .find(|reason| reason.exit_code() == error.code);
    let failure = Failure::new(reason.unwrap_or(StopReason::Config), error.message.clone());
    match &error.hint {
        Some(hint) => failure.hint(hint.clone()),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> RewindAsked {
        RewindAsked {
            sink: "kafka".into(),
            to: "0/14A2F60".into(),
            accept_reorder: true,
        }
    }

    #[test]
    fn a_request_is_one_line_and_is_read_again() {
        let command = Command::Rewind(asked());
        let line = command.to_line();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(Command::parse(&line), Ok(command));
        let short = br#"{"v":1,"command":"rewind","sink":"a","to":"0/1"}"#;
        let Ok(Command::Rewind(short)) = Command::parse(short) else {
            panic!("no rewind");
        };
        assert!(!short.accept_reorder);
        assert_eq!(
            Command::parse(&Command::Status.to_line()),
            Ok(Command::Status)
        );
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "no request"),
            ("[]", "no object"),
            (r#"{"command":"rewind"}"#, "version 1"),
            (r#"{"v":2,"command":"rewind"}"#, "version 1"),
            (r#"{"v":1}"#, "no command"),
            (r#"{"v":1,"command":"stop"}"#, "no command \"stop\""),
            (r#"{"v":1,"command":"status","of":"x"}"#, "no keys"),
            (r#"{"v":1,"command":"rewind","to":"0/1"}"#, "sink"),
            (
                r#"{"v":1,"command":"rewind","sink":"a","to":"0/1","dry":true}"#,
                "dry",
            ),
        ] {
            let failure = Command::parse(text.as_bytes()).expect_err(text);
            assert_eq!(failure.reason, StopReason::Config);
            assert!(failure.message.contains(reason), "{text}: {failure}");
        }
    }

    #[test]
    fn a_refusal_keeps_its_exit_code_and_its_hint() {
        for reason in [StopReason::Config, StopReason::State, StopReason::Data] {
            let failure = Failure::new(reason, "no").hint("do this");
            let line = Answer::refused(failure.clone()).to_line();
            assert_eq!(Answer::parse(&line).unwrap(), Err(failure));
        }
    }
}
