//! What is said on a connection besides events. `PROTOCOL.md` beside this crate is the contract.

use serde::{Deserialize, Serialize};
use walgate_core::Position;

/// Why a client that asks for both gets neither.
pub(crate) const SNAPSHOT_OR_AFTER: &str = "snapshot excludes after and since: it begins anew";

/// What a client says, one JSON object in a text message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// The first message, where the address did not say it.
    Start(Start),
    /// Adds a subscription at the connection's position.
    Subscribe(Wanted),
    /// Goes on with another token.
    Token {
        /// The token.
        token: Bearer,
    },
    /// Takes one away.
    Unsubscribe {
        /// Its id.
        id: String,
    },
}

/// A token, which is shown nowhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Bearer(pub(crate) String);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// How a connection begins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Start {
    /// A bearer token, where no header could carry it.
    pub(crate) token: Option<Bearer>,
    /// Resume behind this event id or LSN; without it the connection is live at once.
    pub(crate) after: Option<String>,
    /// Begin with what was committed at this time or later. It excludes `after`.
    pub(crate) since: Option<String>,
    /// The rows that match now come first. It excludes `after` and `since`.
    pub(crate) snapshot: bool,
    /// What is wanted; everything when it is left out.
    pub(crate) subscriptions: Option<Vec<Wanted>>,
}

/// A subscription as a client writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The client's own name for it.
    pub(crate) id: String,
    /// `schema.table`, `schema.*`, `*`; all when it is left out.
    pub(crate) tables: Vec<String>,
    /// Operations; all when it is left out.
    pub(crate) ops: Vec<String>,
    /// A row filter.
    #[serde(rename = "where")]
    pub(crate) filter: Option<String>,
    /// Columns of `before`, `after` and `unchanged`; all when it is left out.
    pub(crate) columns: Option<Vec<String>>,
    /// Whether `begin` and `commit` come around the events of a transaction.
    pub(crate) transactions: bool,
    /// Refuse a filter that the log can't judge exactly.
    pub(crate) strict: bool,
}

/// What the server says besides events, which have an `op` and no `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Answer {
    /// From here on events come as they are committed.
    Ready {
        /// Everything up to here was sent, or lies before the connection.
        #[serde(serialize_with = "as_text")]
        position: Position,
        /// `resumable`, or `live-only` when nothing can be replayed.
        delivery: &'static str,
        /// How exact the filters are.
        subscriptions: Vec<Exactness>,
        /// When the token ends, in RFC 3339.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<String>,
    },
    /// It goes on with another token.
    Token {
        /// When that ends, in RFC 3339.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<String>,
    },
    /// A subscription was added or taken away.
    Subscriptions {
        /// From behind here.
        #[serde(serialize_with = "as_text")]
        position: Position,
        /// All that there are now.
        subscriptions: Vec<Exactness>,
    },
    /// Everything up to here was sent: resume from it.
    Position {
        #[serde(serialize_with = "as_text")]
        position: Position,
    },
    /// All rows of the snapshot were sent; what it does not contain comes now.
    Snapshot {
        /// How many rows there were.
        rows: u64,
        /// Resume from it: everything that the snapshot lacks comes behind it.
        #[serde(serialize_with = "as_text")]
        position: Position,
    },
    /// What was asked for is not there any more: take a new copy, then follow without `after`.
    ResyncRequired {
        /// Why.
        reason: String,
        /// The oldest position that can still be resumed from.
        #[serde(serialize_with = "as_text")]
        oldest: Position,
    },
    /// A request was refused; the connection goes on.
    Error {
        /// A name for programs.
        code: &'static str,
        /// What is wrong.
        message: String,
        /// Which subscription.
        #[serde(skip_serializing_if = "Option::is_none")]
        subscription: Option<String>,
    },
    /// The connection ends.
    Closed {
        /// The code, as WebSocket's close has it.
        code: u16,
        /// Why.
        reason: String,
        /// Everything up to here was sent: resume from it. None where there is nothing to resume.
        #[serde(
            serialize_with = "as_text_if_any",
            skip_serializing_if = "Option::is_none"
        )]
        position: Option<Position>,
    },
}

/// How exact a subscription's filter is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Exactness {
    /// The client's name for the subscription.
    pub(crate) id: String,
    /// Whether the log holds of an old row what the filter asks for, of every table that is known.
    pub(crate) exact: bool,
    /// Where it does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) inexact: Vec<Inexact>,
}

/// A table whose old rows the log does not hold whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Inexact {
    /// The schema.
    pub(crate) schema: String,
    /// The table.
    pub(crate) table: String,
    /// What the filter asks for and the log does not hold.
    pub(crate) columns: Vec<String>,
    /// The statement that mends it.
    pub(crate) fix: String,
}

fn as_text<S: serde::Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

fn as_text_if_any<S: serde::Serializer>(
    position: &Option<Position>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match position {
        Some(position) => serializer.collect_str(position),
        None => serializer.serialize_none(),
    }
}

impl Answer {
    /// As one line of JSON.
    pub(crate) fn json(&self) -> String {
        // Strings, numbers and lists of them always are JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The name of the event in an event stream.
    pub(crate) const fn event(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "ready",
            Self::Token { .. } => "token",
            Self::Subscriptions { .. } => "subscriptions",
            Self::Position { .. } => "position",
            Self::Snapshot { .. } => "snapshot",
            Self::ResyncRequired { .. } => "resync_required",
            Self::Error { .. } => "refused",
            Self::Closed { .. } => "closed",
        }
    }
}
