//! What a server says on a connection, as its protocol page has it.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use walgate_core::Position;

/// Something that a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// An event of the log.
    Event {
        /// Its position; a row of a snapshot need not have one.
        id: Option<Position>,
        /// Whether it is a row of a snapshot, which is no place to resume from.
        is_read: bool,
        /// The bytes of the event, without a line break.
        text: Bytes,
    },
    /// From here on events come as they are committed.
    Ready {
        position: Position,
        /// Whether what is missed can be had later.
        is_resumable: bool,
        expires: Option<SystemTime>,
        /// Statements that make filters exact.
        fixes: Vec<String>,
    },
    /// Everything up to here was sent.
    Position(Position),
    /// All rows of the snapshot were sent.
    Snapshot {
        rows: u64,
        position: Option<Position>,
    },
    /// A token was taken.
    Token { expires: Option<SystemTime> },
    /// What was asked for is not retained.
    Resync {
        reason: String,
        /// What can still be resumed from.
        oldest: Option<String>,
    },
    /// A request was refused; the connection goes on.
    Refused { code: String, message: String },
    /// The connection ends.
    Closed { code: u16, reason: String },
    /// It is there, and nothing else is to be done.
    Alive,
}

/// What tells events and messages apart.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    op: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// All that a message may hold.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    position: Option<String>,
    delivery: String,
    expires: Option<String>,
    subscriptions: Vec<Exactness>,
    rows: u64,
    reason: String,
    oldest: Option<String>,
    code: serde_json::Value,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Exactness {
    inexact: Vec<Inexact>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Inexact {
    fix: String,
}

impl Said {
    /// Reads an event or a message.
    ///
    /// # Errors
    ///
    /// What of it makes no sense.
    pub(super) fn parse(text: Bytes) -> Result<Self, String> {
        let head: Head<'_> = serde_json::from_slice(&text)
            .map_err(|error| format!("the server says what is no JSON object: {error}"))?;
        let Some(op) = head.op else {
            let kind = head.kind.as_deref();
            let kind = kind.ok_or("the server says what is neither an event nor a message")?;
            return Self::message(kind, &text);
        };
        let id = head.id.as_deref().map(position).transpose()?;
        let is_read = op == "read";
        drop(op);
        Ok(Self::Event { id, is_read, text })
    }

    fn message(kind: &str, text: &[u8]) -> Result<Self, String> {
        let message: Message = serde_json::from_slice(text)
            .map_err(|error| format!("the server says a {kind:?} that makes no sense: {error}"))?;
        let at = message.position.as_deref().map(position).transpose()?;
        let needed = || at.ok_or_else(|| format!("the server says a {kind:?} without a position"));
        let expires = message.expires.as_deref();
        let expires = expires.and_then(|time| humantime::parse_rfc3339_weak(time).ok());
        Ok(match kind {
            "ready" => Self::Ready {
                position: needed()?,
                is_resumable: message.delivery != "live-only",
                expires,
                fixes: message
                    .subscriptions
                    .into_iter()
                    .flat_map(|one| one.inexact)
                    .map(|one| one.fix)
                    .collect(),
            },
            "position" => Self::Position(needed()?),
            "snapshot" => Self::Snapshot {
                rows: message.rows,
                position: at,
            },
            "token" => Self::Token { expires },
            "resync_required" => Self::Resync {
                reason: message.reason,
                oldest: message.oldest,
            },
            "error" => Self::Refused {
                code: message.code.as_str().unwrap_or_default().to_owned(),
                message: message.message,
            },
            "closed" => Self::Closed {
                code: message
                    .code
                    .as_u64()
                    .map_or(0, |code| u16::try_from(code).unwrap_or_default()),
                reason: message.reason,
            },
            // What is added later is none of ours.
            _ => Self::Alive,
        })
    }
}

/// An event's id, or the position of a message.
pub(super) fn position(text: &str) -> Result<Position, String> {
    text.parse()
        .map_err(|error| format!("the server says what is no position: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000014a2f60-00000003";

    fn parse(text: &str) -> Result<Said, String> {
        Said::parse(Bytes::from(text.replace("ID", ID)))
    }

    #[test]
    fn events_and_messages_are_told_apart() {
        let id: Position = ID.parse().expect("an id");
        let event = parse(r#"{"id":"ID","op":"insert","key":{"type":"position"}}"#);
        assert!(matches!(event, Ok(Said::Event { id: Some(at), is_read: false, .. }) if at == id));
        let read = parse(r#"{"op":"read","key":{"id":1}}"#);
        assert!(matches!(
            read,
            Ok(Said::Event {
                id: None,
                is_read: true,
                ..
            })
        ));
        assert_eq!(
            parse(r#"{"type":"position","position":"ID"}"#),
            Ok(Said::Position(id))
        );
        let ready = r#"{"type":"ready","position":"ID","delivery":"live-only","later":{},"expires":"2026-11-21T09:30:00Z",
            "subscriptions":[{"id":"","exact":false,"inexact":[{"schema":"a","table":"b","columns":["c"],"fix":"ALTER"}]}]}"#;
        let Ok(Said::Ready {
            is_resumable,
            expires,
            fixes,
            ..
        }) = parse(ready)
        else {
            panic!("not ready");
        };
        assert!(!is_resumable && expires.is_some());
        assert_eq!(fixes, ["ALTER"]);
        assert_eq!(
            parse(r#"{"type":"closed","code":1001,"reason":"it stops","position":"ID"}"#),
            Ok(Said::Closed {
                code: 1001,
                reason: "it stops".to_owned()
            })
        );
        assert_eq!(
            parse(r#"{"type":"error","code":"unauthorized","message":"no"}"#),
            Ok(Said::Refused {
                code: "unauthorized".to_owned(),
                message: "no".to_owned()
            })
        );
        assert_eq!(parse(r#"{"type":"tomorrow"}"#), Ok(Said::Alive));
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        for text in [
            "",
            "[]",
            "hello",
            r#"{"op":"insert","id":"x"}"#,
            r#"{"type":"ready"}"#,
            r#"{"type":"position","position":"x"}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
