//! What a walgate in front would write: events of a small log.

use std::sync::Arc;

use bytes::BytesMut;
use walgate_core::{
    Body, Change, Column, ColumnUse, Encoder, Frames, Lsn, PgMicros, Position, Relation,
    ReplicaIdentity, Shape, Table, Transaction,
};
use walgate_format::{Int8, NativeJson, NativeJsonOptions};
use walgate_pgoutput::{Dialect, Message, TupleBuf, decode};
use walgate_source_kafka::EventDecoder;

/// A transaction that commits there.
pub(crate) fn transaction(commit: u64) -> Transaction {
    Transaction {
        xid: 771,
        commit_lsn: Lsn(commit),
        commit_time: PgMicros(848_568_600_123_456),
    }
}

/// A table of one number, which is its key.
pub(crate) fn table() -> Arc<Table> {
    let column = Column {
        name: "id".to_owned(),
        type_oid: 23,
        type_name: String::new(),
        typmod: -1,
        key: true,
        shape: Shape::of_builtin(23).unwrap_or(Shape::TEXT),
    };
    of(Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "t".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: vec![column],
        primary_key: Vec::new(),
    })
}

/// The table of a relation that is passed on as it is.
pub(crate) fn of(relation: Relation) -> Arc<Table> {
    Arc::new(Table {
        id: 1,
        columns: vec![ColumnUse::Keep; relation.columns.len()],
        key: relation.key(),
        relation: Arc::new(relation),
    })
}

/// A row of [`table`].
pub(crate) fn row(id: u32) -> TupleBuf {
    let mut row = TupleBuf::new();
    let text = id.to_string();
    row.push(walgate_core::Value::Text(text.as_bytes()))
        .expect("a value");
    row
}

/// An event as bytes.
pub(crate) fn event(
    int8: Int8,
    index: u32,
    transaction: Option<&Transaction>,
    body: Body<'_>,
) -> BytesMut {
    let options = NativeJsonOptions {
        int8,
        ..NativeJsonOptions::default()
    };
    let lsn = transaction.map_or(Lsn(0x900), |transaction| transaction.commit_lsn);
    let change = Change {
        position: Position::new(0, lsn, index),
        transaction,
        body,
    };
    let mut out = BytesMut::new();
    let encoded = NativeJson::new(options).encode(&change, &mut out);
    let value = encoded.expect("an event").value;
    out.truncate(value.end as usize);
    out
}

/// An insert of a number.
pub(crate) fn insert(commit: u64, index: u32, id: u32) -> BytesMut {
    let (table, row, transaction) = (table(), row(id), transaction(commit));
    let body = Body::Insert {
        table: &table,
        new: row.as_tuple(),
    };
    event(Int8::Number, index, Some(&transaction), body)
}

/// The end of a transaction.
pub(crate) fn commit(commit: u64) -> BytesMut {
    let transaction = transaction(commit);
    let body = Body::Commit { changes: 1 };
    event(Int8::Number, Position::COMMIT, Some(&transaction), body)
}

/// The definition of [`table`].
pub(crate) fn schema() -> BytesMut {
    let table = table();
    event(Int8::Number, 1, None, Body::Schema { table: &table })
}

/// A decoder that begins at the beginning.
pub(crate) fn decoder() -> EventDecoder {
    EventDecoder::new(Position::ZERO)
}

/// The messages of a run in short: tag, and position.
pub(crate) fn brief(frames: &Frames) -> Vec<String> {
    let mut open = frames.open;
    let brief = frames.frames.iter().map(|frame| {
        let message = decode(frames.message(frame), Dialect::default(), false).expect("legal");
        let tag = match message {
            Message::Begin { .. } => "begin",
            Message::Commit { .. } => "commit",
            Message::Insert { .. } => "insert",
            Message::Message { .. } => "message",
            _ => "other",
        };
        open = frames.begun(frame).or(open);
        let lsn = open.map_or(Lsn::ZERO, |open| open.commit_lsn);
        format!("{tag} {lsn} {:x}", frame.index)
    });
    brief.collect()
}
