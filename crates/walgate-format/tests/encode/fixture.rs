//! Tables, rows and changes to encode.

use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{
    Body, Change, Column, ColumnUse, EncodeError, Encoded, Encoder, Lsn, PgMicros, Position,
    Relation, ReplicaIdentity, Shape, Span, Table, Transaction, Value,
};
use walgate_pgoutput::TupleBuf;

/// SQL NULL.
pub(crate) const NULL: Value<'_> = Value::Null;
/// A TOASTed value that was not sent.
pub(crate) const UNCHANGED: Value<'_> = Value::Unchanged;

/// The transaction of the format's example.
pub(crate) const TRANSACTION: Transaction = Transaction {
    xid: 771,
    commit_lsn: Lsn(0x14A_2F60),
    commit_time: PgMicros(848_568_600_123_456),
};

pub(crate) const INT8: u32 = 20;
pub(crate) const INT4: u32 = 23;
pub(crate) const TEXT: u32 = 25;
pub(crate) const NUMERIC: u32 = 1700;
pub(crate) const JSONB: u32 = 3802;

/// A text value.
pub(crate) const fn t(text: &str) -> Value<'_> {
    Value::Text(text.as_bytes())
}

pub(crate) fn tuple(values: &[Value<'_>]) -> TupleBuf {
    let mut tuple = TupleBuf::new();
    for value in values {
        tuple.push(*value).expect("a value that fits");
    }
    tuple
}

/// A table of columns (name, type, part of the replica identity).
pub(crate) fn table(identity: ReplicaIdentity, columns: &[(&str, u32, bool)]) -> Table {
    let column = |(name, oid, key): &(&str, u32, bool)| Column {
        name: (*name).to_owned(),
        type_oid: *oid,
        type_name: String::new(),
        typmod: -1,
        key: *key || identity == ReplicaIdentity::Full,
        shape: Shape::of_builtin(*oid).unwrap_or(Shape::TEXT),
    };
    let primary_key = match identity {
        ReplicaIdentity::Full => (0u16..)
            .zip(columns)
            .filter(|(_, column)| column.2)
            .map(|(place, _)| place)
            .collect(),
        _ => Vec::new(),
    };
    let relation = Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        identity,
        columns: columns.iter().map(column).collect(),
        primary_key,
    };
    let key = relation.key();
    let columns = vec![ColumnUse::Keep; columns.len()];
    Table {
        id: 1,
        relation: Arc::new(relation),
        columns,
        key,
    }
}

/// The table of the format's example.
pub(crate) fn orders(identity: ReplicaIdentity) -> Table {
    let columns = [
        ("id", INT4, true),
        ("status", TEXT, false),
        ("amount", NUMERIC, false),
        ("payload", JSONB, false),
        ("note", TEXT, false),
    ];
    table(identity, &columns)
}

/// What an encoder has made of one change.
#[derive(Debug)]
pub(crate) struct Event {
    /// Everything that it has appended.
    pub(crate) bytes: BytesMut,
    pub(crate) encoded: Encoded,
}

impl Event {
    /// The event itself.
    pub(crate) fn value(&self) -> &str {
        self.slice(self.encoded.value)
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.encoded.key.map(|span| self.slice(span))
    }

    pub(crate) fn old_key(&self) -> Option<&str> {
        self.encoded.old_key.map(|span| self.slice(span))
    }

    fn slice(&self, span: Span) -> &str {
        let bytes = &self.bytes[span.start as usize..span.end as usize];
        str::from_utf8(bytes).expect("events are UTF-8")
    }
}

/// Position 3 of the example's transaction.
pub(crate) fn in_transaction(body: Body<'_>) -> Change<'_> {
    let position = Position::new(0, TRANSACTION.commit_lsn, 3);
    Change {
        position,
        transaction: Some(&TRANSACTION),
        body,
    }
}

pub(crate) fn try_encode(
    encoder: &mut impl Encoder,
    change: &Change<'_>,
) -> Result<Event, EncodeError> {
    let mut bytes = BytesMut::new();
    let encoded = encoder.encode(change, &mut bytes)?;
    Ok(Event { bytes, encoded })
}

pub(crate) fn encode(encoder: &mut impl Encoder, body: Body<'_>) -> Event {
    try_encode(encoder, &in_transaction(body)).expect("the change can be encoded")
}
