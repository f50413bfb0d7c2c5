//! Batches to test with.

use std::sync::Arc;

use bytes::BufMut;
use walgate_core::{
    Batch, Column, ColumnUse, Encoded, Lsn, Op, Position, Relation, ReplicaIdentity, Shape, Span,
    Table,
};

/// The position of change `index` of the transaction that commits at `lsn`.
pub fn position(lsn: u64, index: u32) -> Position {
    Position::new(0, Lsn(lsn), index)
}

/// The event that [`batch`] writes for a position, without the line feed.
pub fn event(position: Position) -> String {
    let key = format!("{{\"id\":{}}}", position.index());
    format!(
        "{{\"id\":\"{position}\",\"op\":\"insert\",\"schema\":\"public\",\"table\":\"kit\",\
         \"key\":{key},\"after\":{key}}}"
    )
}

/// A batch of inserts into `public.kit`, one for each position.
pub fn batch(positions: impl IntoIterator<Item = Position>) -> Batch {
    let table = table();
    let mut batch = Batch::default();
    for position in positions {
        let text = event(position);
        let start = batch.bytes.len() as u32;
        let key = format!("\"key\":{{\"id\":{}}}", position.index());
        let key_start =
            start + text.find(&key).unwrap_or_default() as u32 + "\"key\":".len() as u32;
        let key_end = key_start + (key.len() - "\"key\":".len()) as u32;
        batch.bytes.put_slice(text.as_bytes());
        let end = batch.bytes.len() as u32;
        batch.bytes.put_u8(b'\n');
        let encoded = Encoded {
            value: Span { start, end },
            key: Some(Span {
                start: key_start,
                end: key_end,
            }),
            old_key: None,
        };
        batch.push(position, Op::Insert, Some(&table), encoded);
    }
    batch
}

fn table() -> Arc<Table> {
    let column = Column {
        name: "id".into(),
        type_oid: 23,
        typmod: -1,
        key: true,
        shape: Shape::of_builtin(23).unwrap_or(Shape::TEXT),
        type_name: "int4".into(),
    };
    let relation = Relation {
        oid: 16_384,
        schema: "public".into(),
        name: "kit".into(),
        identity: ReplicaIdentity::Default,
        columns: vec![column],
        primary_key: Vec::new(),
    };
    Arc::new(Table {
        id: 1,
        relation: Arc::new(relation),
        columns: vec![ColumnUse::Keep],
        key: vec![0],
    })
}
