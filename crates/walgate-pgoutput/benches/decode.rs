//! What a message costs: `cargo bench -p walgate-pgoutput`. In instructions: `make bench-instructions`.

use bytes::{BufMut, BytesMut};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use walgate_pgoutput::{
    Column, ColumnsBuf, CopyFrame, Dialect, Lsn, Message, OldTuple, OrderChecker, PgMicros,
    RelationBody, ReplicaIdentity, TupleBuf, Value, decode,
};

/// Rows of a transaction: large enough that its memory is not in the first caches.
const ROWS: usize = 10_000;

/// Nine columns with numeric, jsonb and timestamptz, as the end-to-end benchmark has them.
const COLUMNS: [&str; 9] = [
    "1234567",
    "42",
    "paid",
    "leave it at the door, please",
    "1234.50",
    r#"{"sku": "A-7", "tags": ["new", "blue"], "weight": 1.25}"#,
    "2026-11-21 09:30:00.123456+00",
    "t",
    "0.8251",
];

const RELATION: u32 = 16_384;

fn main() {
    divan::main();
}

fn row() -> TupleBuf {
    let mut row = TupleBuf::new();
    for text in COLUMNS {
        row.push(Value::Text(text.as_bytes())).expect("it fits");
    }
    row
}

/// Copy frames one behind the other, each behind its length.
fn frames<'a>(messages: impl Iterator<Item = Message<'a>>) -> BytesMut {
    let (mut all, mut payload, mut frame) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    for message in messages {
        payload.clear();
        frame.clear();
        message
            .encode(Dialect::default(), &mut payload)
            .expect("it can be encoded");
        CopyFrame::XLogData {
            wal_start: Lsn(0x14A_2F60),
            wal_end: Lsn(0x14A_2F60),
            server_time: PgMicros(848_568_600_123_456),
            payload: &payload,
        }
        .encode(&mut frame);
        all.put_u32(u32::try_from(frame.len()).expect("a short frame"));
        all.put_slice(&frame);
    }
    all
}

/// Opens every frame and every value, as somebody who encodes them has to. Its name is what the count of
/// instructions is limited to.
#[inline(never)]
fn decode_rows(mut bytes: &[u8], dialect: Dialect) -> usize {
    let mut checker = OrderChecker::default();
    let mut values = 0;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        bytes = rest;
        let Ok(CopyFrame::XLogData { payload, .. }) = CopyFrame::decode(frame) else {
            panic!("every frame holds a message");
        };
        let message = decode(payload, dialect, checker.in_stream()).expect("a message");
        checker.check(&message).expect("in order");
        let (old, new) = match message {
            Message::Insert { new, .. } => (None, Some(new)),
            Message::Update { old, new, .. } => (old, Some(new)),
            Message::Delete { old, .. } => (Some(old), None),
            _ => (None, None),
        };
        for value in old.map(|old| old.tuple()).into_iter().chain(new) {
            values += value.iter().map(black_box).count();
        }
    }
    values
}

fn run(bencher: Bencher<'_, '_>, change: Message<'static>) {
    let begin = Message::Begin {
        final_lsn: Lsn(0x14A_2F60),
        commit_time: PgMicros(848_568_600_123_456),
        xid: 771,
    };
    let mut columns = ColumnsBuf::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
        let column = Column {
            key: true,
            name,
            type_oid: 25,
            typmod: -1,
        };
        columns.push(column).expect("it fits");
    }
    let relation = Message::Relation(RelationBody {
        xid: None,
        oid: RELATION,
        namespace: "public",
        name: "orders",
        identity: ReplicaIdentity::Full,
        columns: columns.as_columns(),
    });
    let changes = std::iter::repeat_n(change, ROWS);
    let messages = [begin, relation].into_iter().chain(changes);
    let bytes = frames(messages);
    let dialect = Dialect::default();
    decode_rows(&bytes, dialect);
    bencher
        .counter(ItemsCount::new(ROWS))
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| decode_rows(black_box(&bytes), dialect));
}

/// For as long as the program.
fn kept() -> &'static TupleBuf {
    Box::leak(Box::new(row()))
}

#[divan::bench]
fn insert(bencher: Bencher<'_, '_>) {
    let change = Message::Insert {
        xid: None,
        relation: RELATION,
        new: kept().as_tuple(),
    };
    run(bencher, change);
}

#[divan::bench]
fn update_full(bencher: Bencher<'_, '_>) {
    let change = Message::Update {
        xid: None,
        relation: RELATION,
        old: Some(OldTuple::Full(kept().as_tuple())),
        new: kept().as_tuple(),
    };
    run(bencher, change);
}

#[divan::bench]
fn delete(bencher: Bencher<'_, '_>) {
    let change = Message::Delete {
        xid: None,
        relation: RELATION,
        old: OldTuple::Key(kept().as_tuple()),
    };
    run(bencher, change);
}
