//! Records that can never be taken, and where they go instead.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value as Json};
use walgate_core::{
    Batch, Body, Change, ColumnUse, Encoded, Op, Position, Sink, SinkError, Span, Table, Tuple,
    Value,
};

use crate::assembler::table_name;

/// A record that can never be taken, as one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its id.
    #[serde(serialize_with = "as_text")]
    pub id: Position,
    /// The sink that does not take it.
    pub sink: String,
    /// What happened to the row.
    pub op: &'static str,
    /// The table, `schema.table`; none for a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Columns of the key with PostgreSQL's text of their values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Json>,
    /// Why it is not taken.
    pub error: String,
    /// The columns of the row with PostgreSQL's text of their values, as far as they were sent;
    /// bytes that are not UTF-8 are replaced. Columns that the sink masks or drops are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<Json>,
    /// The message as the server sent it, in base64. Left out when the sink masks or drops a
    /// column of the table: the message would show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
}

fn as_text<S: serde::Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

impl DeadLetter {
    /// A change that the sink does not take; none for what is not a change (`begin`, `gap`, …),
    /// which has no other place to go.
    pub(crate) fn new(
        sink: &str,
        change: &Change<'_>,
        message: &[u8],
        error: String,
    ) -> Option<Self> {
        let (old, new) = match change.body {
            Body::Insert { new, .. } | Body::Read { new, .. } => (None, Some(new)),
            Body::Update { old, new, .. } => (old.map(|old| old.tuple()), Some(new)),
            Body::Delete { old, .. } => (Some(old.tuple()), None),
            Body::Truncate { .. } | Body::Message { .. } => (None, None),
            Body::Schema { .. }
            | Body::Begin
            | Body::Commit { .. }
            | Body::Gap(_)
            | Body::Leave { .. } => return None,
        };
        let table = change.body.table();
        let row = new.or(old);
        let hides = |table: &Table| table.columns.iter().any(|used| *used != ColumnUse::Keep);
        Some(Self {
            id: change.position,
            sink: sink.to_owned(),
            op: change.body.op().name(),
            table: table.map(|table| table_name(&table.relation)),
            key: table.zip(row).and_then(|(table, row)| {
                let is_key = |place: usize| table.key.iter().any(|key| usize::from(*key) == place);
                (!table.key.is_empty()).then(|| columns(table, row, is_key))
            }),
            error,
            row: table
                .zip(row)
                .map(|(table, row)| columns(table, row, |_| true)),
            payload_base64: (!table.is_some_and(|table| hides(table)))
                .then(|| STANDARD.encode(message)),
        })
    }

    /// The letter on one line, with its line feed.
    pub fn to_line(&self) -> Vec<u8> {
        // Strings and maps of strings: this can't fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn columns(table: &Table, row: Tuple<'_>, wanted: impl Fn(usize) -> bool) -> Json {
    let mut object = Map::new();
    let uses = table.columns.iter();
    for (place, ((column, used), value)) in table
        .relation
        .columns
        .iter()
        .zip(uses)
        .zip(row.iter())
        .enumerate()
    {
        if *used != ColumnUse::Keep || !wanted(place) {
            continue;
        }
        let value = match value {
            Value::Null => Json::Null,
            Value::Unchanged => continue,
            Value::Text(text) => Json::String(String::from_utf8_lossy(text).into_owned()),
            Value::Binary(bytes) => Json::String(STANDARD.encode(bytes)),
        };
        object.insert(column.name.clone(), value);
    }
    Json::Object(object)
}

/// A future that [`DeadLetters`] returns.
pub type Writing<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// Where records go that a sink can never take.
pub trait DeadLetters: Send {
    /// Writes a letter. Ok means that it is durable: the sink's position moves past the record
    /// only then. After an error the chain tries again, so a letter may be written twice.
    fn write<'a>(&'a mut self, letter: &'a DeadLetter) -> Writing<'a>;
}

/// Dead letters into a sink of their own, for example a Kafka topic. A letter is a record with the
/// position of what it stands for, [`Op::Message`], no table, its id as the key, and the letter's
/// JSON as the value.
#[derive(Debug)]
pub struct SinkDeadLetters<S> {
    sink: S,
    batch: Batch,
    is_open: bool,
}

impl<S: Sink> SinkDeadLetters<S> {
    /// Dead letters into `sink`, which is opened for the first letter.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            batch: Batch::default(),
            is_open: false,
        }
    }

    async fn deliver(&mut self, letter: &DeadLetter) -> Result<(), SinkError> {
        if !self.is_open {
            self.sink.open().await?;
            self.is_open = true;
        }
        self.batch.clear();
        let id = letter.id.to_ascii();
        let line = letter.to_line();
        self.batch.bytes.extend_from_slice(&id);
        self.batch.bytes.extend_from_slice(&line);
        let span = |start: usize, end: usize| Span {
            start: start as u32,
            end: end as u32,
        };
        let encoded = Encoded {
            // Without the line feed, which is the framing's.
            value: span(id.len(), id.len() + line.len() - 1),
            key: Some(span(0, id.len())),
            old_key: None,
        };
        self.batch.push(letter.id, Op::Message, None, encoded);
        self.sink.write(&mut self.batch).await?;
        self.sink.flush().await?;
        Ok(())
    }
}

impl<S: Sink> DeadLetters for SinkDeadLetters<S> {
    fn write<'a>(&'a mut self, letter: &'a DeadLetter) -> Writing<'a> {
        Box::pin(async move {
            let result = self.deliver(letter).await;
            if result.is_err() {
                self.is_open = false;
                // What is in flight is given up, so that nothing of it blocks the next attempt.
                let soon = Instant::now() + Duration::from_millis(100);
                drop(self.sink.close(soon).await);
            }
            result
        })
    }
}
