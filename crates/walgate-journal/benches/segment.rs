//! What a row costs on its way into a segment and out of it: `cargo bench -p walgate-journal`.

use std::sync::Arc;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, ReplicaIdentity, Shape,
    Transaction,
};
use walgate_journal::segment::{
    DefinitionCache, Definitions, Keyring, Next, Record, SegmentFacts, SegmentHeader,
    SegmentReader, SegmentWriter, Start,
};
use walgate_pgoutput::Dialect;

/// What one read of the session brings at full speed: about 64 KiB.
const ROWS_OF_A_RUN: u32 = 500;
/// About 16 MiB of rows, more than the caches have.
const RUNS: u32 = 256;

/// Nine columns with about 100 bytes of text in all.
const VALUES: [&str; 9] = [
    "1234567",
    "42",
    "paid",
    "leave it here",
    "1234.50",
    r#"{"sku": "A-7"}"#,
    "2026-11-21 09:30:00.123456+00",
    "t",
    "0.8251",
];

fn main() {
    divan::main();
}

fn relation() -> Arc<Relation> {
    let column = |place: usize| Column {
        name: format!("column_{place}"),
        type_oid: 25,
        type_name: String::new(),
        typmod: -1,
        key: place == 0,
        shape: Shape::TEXT,
    };
    Arc::new(Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: (0..VALUES.len()).map(column).collect(),
        primary_key: Vec::new(),
    })
}

/// A run in the middle of a transaction, with the copy-both headers between its messages.
fn run(relation: &Arc<Relation>) -> Frames {
    let mut row = vec![b'I'];
    row.extend_from_slice(&relation.oid.to_be_bytes());
    row.push(b'N');
    row.extend_from_slice(&(VALUES.len() as u16).to_be_bytes());
    for value in VALUES {
        row.push(b't');
        row.extend_from_slice(&(value.len() as u32).to_be_bytes());
        row.extend_from_slice(value.as_bytes());
    }
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for index in 0..ROWS_OF_A_RUN {
        bytes.extend_from_slice(&[0; 30]);
        frames.push(Frame {
            kind: FrameKind::Insert,
            relation: 0,
            index: index + 2,
            start: bytes.len() as u32,
            len: row.len() as u32,
        });
        bytes.extend_from_slice(&row);
    }
    Frames {
        pinned: bytes.len(),
        bytes: Bytes::from(bytes),
        frames,
        relations: vec![Arc::clone(relation)],
        truncated: Vec::new(),
        open: Some(Transaction {
            xid: 731,
            commit_lsn: Lsn(0x14A_3100),
            commit_time: PgMicros(0),
        }),
        epoch: 0,
        progress: None,
    }
}

fn header() -> SegmentHeader {
    SegmentHeader {
        number: 1,
        first_entry: 0,
        before: Position::ZERO,
        created: PgMicros(0),
        next_definition: 0,
        facts: SegmentFacts {
            system_id: 1,
            timeline: 1,
            epoch: 0,
            slot: "walgate".to_owned(),
            dialect: Dialect::default(),
            server_version: "18.1".to_owned(),
            settings: Vec::new(),
        },
    }
}

fn keys() -> Keyring {
    Keyring::parse(&"5e".repeat(32)).expect("a key")
}

fn encode(runs: &[Frames], keys: &Keyring, out: &mut Vec<u8>) {
    let mut definitions = Definitions::default();
    let mut writer = SegmentWriter::begin_with(&header(), keys, out).expect("a header");
    for run in runs {
        let at = writer.append(run, &mut definitions, out);
        at.expect("a sound run");
    }
}

fn decode(file: &Bytes, keys: &Keyring) -> u64 {
    let mut chunk = file.clone();
    let mut cache = DefinitionCache::new();
    let Ok(Start::Segment(_, mut reader)) = SegmentReader::open_with(1, &mut chunk, keys) else {
        panic!("no segment");
    };
    read_all(&mut reader, &mut chunk, &mut cache)
}

fn read_all(reader: &mut SegmentReader, chunk: &mut Bytes, cache: &mut DefinitionCache) -> u64 {
    let mut rows = 0;
    while let Ok(Next::Record(_, _, record)) = reader.next(chunk, cache) {
        if let Record::Run(run) = record {
            rows += run.frames.frames.len() as u64;
        }
    }
    rows
}

/// As it is, and encrypted.
const ENCRYPTED: [bool; 2] = [false, true];

fn ring(encrypted: bool) -> Keyring {
    match encrypted {
        true => keys(),
        false => Keyring::default(),
    }
}

#[divan::bench(args = ENCRYPTED)]
fn write(bencher: Bencher<'_, '_>, encrypted: bool) {
    let relation = relation();
    let runs: Vec<_> = (0..RUNS).map(|_| run(&relation)).collect();
    let keys = ring(encrypted);
    let mut out = Vec::new();
    encode(&runs, &keys, &mut out);
    let bytes = out.len();
    bencher
        .counter(ItemsCount::new(RUNS * ROWS_OF_A_RUN))
        .counter(BytesCount::new(bytes))
        .bench_local(|| {
            out.clear();
            encode(&runs, &keys, &mut out);
        });
}

#[divan::bench(args = ENCRYPTED)]
fn read(bencher: Bencher<'_, '_>, encrypted: bool) {
    let relation = relation();
    let runs: Vec<_> = (0..RUNS).map(|_| run(&relation)).collect();
    let keys = ring(encrypted);
    let mut out = Vec::new();
    encode(&runs, &keys, &mut out);
    let file = Bytes::from(out);
    assert_eq!(decode(&file, &keys), u64::from(RUNS * ROWS_OF_A_RUN));
    bencher
        .counter(ItemsCount::new(RUNS * ROWS_OF_A_RUN))
        .counter(BytesCount::new(file.len()))
        .bench_local(|| decode(&file, &keys));
}
