//! What a row costs: `cargo bench -p walgate-format`. In instructions: `make bench-instructions`.

use std::sync::Arc;

use bytes::BytesMut;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use walgate_core::{
    Body, Change, Column, ColumnUse, Encoder, Lsn, OldTuple, PgMicros, Position, Relation,
    ReplicaIdentity, Shape, Table, Transaction, Value,
};
use walgate_format::{NativeJson, NativeJsonOptions};
use walgate_pgoutput::TupleBuf;

/// Rows of a batch: large enough that its memory is not in the first caches.
const ROWS: u32 = 10_000;

/// Nine columns with numeric, jsonb and timestamptz, as the end-to-end benchmark has them.
const COLUMNS: [(&str, u32, &str); 9] = [
    ("id", 20, "1234567"),
    ("quantity", 23, "42"),
    ("status", 25, "paid"),
    ("note", 25, "leave it at the door, please"),
    ("amount", 1700, "1234.50"),
    (
        "payload",
        3802,
        r#"{"sku": "A-7", "tags": ["new", "blue"], "weight": 1.25}"#,
    ),
    ("created_at", 1184, "2026-11-21 09:30:00.123456+00"),
    ("active", 16, "t"),
    ("score", 701, "0.8251"),
];

fn main() {
    divan::main();
}

fn table() -> Arc<Table> {
    let column = |(name, oid, _): &(&str, u32, &str)| Column {
        name: (*name).to_owned(),
        type_oid: *oid,
        type_name: String::new(),
        typmod: -1,
        key: *name == "id",
        shape: Shape::of_builtin(*oid).unwrap_or(Shape::TEXT),
    };
    let relation = Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: COLUMNS.iter().map(column).collect(),
        primary_key: Vec::new(),
    };
    let columns = vec![ColumnUse::Keep; COLUMNS.len()];
    Arc::new(Table {
        id: 1,
        key: relation.key(),
        relation: Arc::new(relation),
        columns,
    })
}

fn row() -> TupleBuf {
    let mut row = TupleBuf::new();
    for (_, _, text) in COLUMNS {
        row.push(Value::Text(text.as_bytes())).expect("it fits");
    }
    row
}

fn run(bencher: Bencher<'_, '_>, body: &Body<'_>) {
    let transaction = Transaction {
        xid: 771,
        commit_lsn: Lsn(0x14A_2F60),
        commit_time: PgMicros(848_568_600_123_456),
    };
    let mut encoder = NativeJson::new(NativeJsonOptions::default());
    let mut out = BytesMut::new();
    let len = encode_rows(&mut encoder, &transaction, body, &mut out);
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(len))
        .bench_local(|| encode_rows(&mut encoder, &transaction, body, &mut out));
}

/// Encodes the batch anew. Its name is what the count of instructions is limited to.
#[inline(never)]
fn encode_rows(
    encoder: &mut NativeJson,
    transaction: &Transaction,
    body: &Body<'_>,
    out: &mut BytesMut,
) -> usize {
    out.clear();
    for index in 0..ROWS {
        let position = Position::new(0, transaction.commit_lsn, index + 2);
        let change = Change {
            position,
            transaction: Some(transaction),
            body: *body,
        };
        encoder.encode(&change, out).expect("it can be encoded");
    }
    out.len()
}

#[divan::bench]
fn insert(bencher: Bencher<'_, '_>) {
    let (table, new) = (table(), row());
    run(
        bencher,
        &Body::Insert {
            table: &table,
            new: new.as_tuple(),
        },
    );
}

#[divan::bench]
fn update(bencher: Bencher<'_, '_>) {
    let (table, new) = (table(), row());
    run(
        bencher,
        &Body::Update {
            table: &table,
            old: None,
            new: new.as_tuple(),
        },
    );
}

#[divan::bench]
fn update_full(bencher: Bencher<'_, '_>) {
    let (table, new) = (table(), row());
    let old = Some(OldTuple::Full(new.as_tuple()));
    run(
        bencher,
        &Body::Update {
            table: &table,
            old,
            new: new.as_tuple(),
        },
    );
}

#[divan::bench]
fn delete(bencher: Bencher<'_, '_>) {
    let (table, old) = (table(), row());
    run(
        bencher,
        &Body::Delete {
            table: &table,
            old: OldTuple::Key(old.as_tuple()),
        },
    );
}
