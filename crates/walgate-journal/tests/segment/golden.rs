//! Files of every version of the format are read: `tests/segments/v1.segment` is what version 1
//! wrote. `WALGATE_BLESS_SEGMENT=1` writes the file of the current version, which is done once,
//! before that version is released, and never again.

use std::path::PathBuf;
use std::sync::Arc;

use walgate_core::{
    FrameKind, Frames, Gap, GapReason, Lsn, PgMicros, Position, Relation, ReplicaIdentity, Scalar,
    Shape,
};
use walgate_journal::segment::{
    DefinitionCache, Definitions, FORMAT_VERSION, Record, SegmentWriter,
};

use crate::capture::{Capture, column, header, table};
use crate::reading::{Ending, assert_same, read};

pub(crate) const NUMBER: u64 = 0x2A;

fn path(version: u16) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/segments/v{version}.segment"))
}

/// A table with every shape and a primary key that only the catalog knows.
fn shapes() -> Arc<Relation> {
    let scalars = [
        ("flag", 16, Scalar::Bool),
        ("amount", 23, Scalar::Integer),
        ("id", 20, Scalar::BigInt),
        ("ratio", 701, Scalar::Float),
        ("data", 3802, Scalar::Json),
        ("image", 17, Scalar::Bytea),
        ("at", 1114, Scalar::Timestamp),
        ("at_zone", 1184, Scalar::TimestampTz),
        ("time_zone", 1266, Scalar::TimeTz),
        ("price", 1700, Scalar::Plain),
        ("mood", 16_500, Scalar::Text),
    ];
    let mut columns: Vec<_> = scalars
        .iter()
        .map(|(name, oid, scalar)| column(name, *oid, Shape::Scalar(*scalar)))
        .collect();
    for (name, oid, element, delimiter) in [
        ("amounts", 1007, Scalar::Integer, b','),
        ("boxes", 1020, Scalar::Text, b';'),
    ] {
        columns.push(column(name, oid, Shape::Array { element, delimiter }));
    }
    columns[9].typmod = 655_366;
    columns[10].type_name = "mööd".to_owned();
    Arc::new(Relation {
        oid: 16_402,
        schema: "übung".to_owned(),
        name: "shapes".to_owned(),
        identity: ReplicaIdentity::Full,
        columns,
        primary_key: vec![2, 1],
    })
}

const GAP: Gap = Gap {
    from: Lsn(0x2000),
    to: Lsn(0x3000),
    reason: GapReason::TemporarySlot,
};

/// What the file holds, in order; the gap lies behind the second run, progress at the end.
pub(crate) fn written() -> Vec<Frames> {
    let (orders, shapes) = (table(16_400, "orders"), shapes());
    let mut capture = Capture::default();
    let mut runs = Vec::new();
    capture.begin(731, 0x1000, 848_000_000_000_001);
    capture.row(FrameKind::Insert, &orders, &[b"1", b"first"]);
    capture.row(FrameKind::Update, &shapes, &[b"t", b"2", b"3"]);
    runs.push(capture.take());
    capture.row(FrameKind::Delete, &shapes, &[b"t"]);
    capture.truncate(&[&shapes, &orders]);
    capture.message(b"inside");
    capture.commit();
    capture.progress(0x1100);
    runs.push(capture.take());
    capture.standalone(0x3100, b"alone");
    capture.begin(732, 0x3200, 848_000_000_000_002);
    capture.commit();
    runs.push(capture.take());
    runs
}

/// Writes what the file holds.
pub(crate) fn write(writer: &mut SegmentWriter, definitions: &mut Definitions, file: &mut Vec<u8>) {
    for (place, run) in written().iter().enumerate() {
        writer.append(run, definitions, file).unwrap();
        if place == 1 {
            writer.gap(&GAP, file).unwrap();
        }
    }
    writer.progress(Lsn(0x4000), file).unwrap();
}

pub(crate) fn encode() -> Vec<u8> {
    let mut file = Vec::new();
    let mut definitions = Definitions::starting_at(40);
    let mut writer = SegmentWriter::begin(&header(NUMBER), &mut file).unwrap();
    write(&mut writer, &mut definitions, &mut file);
    writer.seal(&mut file).unwrap();
    file
}

#[test]
fn a_file_of_version_1_is_read() {
    if std::env::var_os("WALGATE_BLESS_SEGMENT").is_some() {
        std::fs::write(path(FORMAT_VERSION), encode()).unwrap();
    }
    let file = std::fs::read(path(1)).unwrap();
    let reading = read(NUMBER, &file, &mut DefinitionCache::new());
    assert_eq!(reading.ending, Ending::Sealed);
    assert_eq!(reading.header, Some(header(NUMBER)));
    let mut runs = reading.runs();
    for written in &written() {
        assert_same(written, runs.next().unwrap());
    }
    assert!(runs.next().is_none());
    let others: Vec<_> = reading
        .records
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Gap { entry, epoch, gap } => Some(format!("{entry} {epoch} {gap:?}")),
            Record::Progress { epoch, lsn } => Some(format!("{epoch} {lsn}")),
            _ => None,
        })
        .collect();
    assert_eq!(others, [format!("102 0 {GAP:?}"), "0 0/4000".to_owned()]);
    let index = reading.scanned.as_ref().unwrap();
    assert_eq!((index.first_entry, index.entries), (100, 4));
    assert_eq!(
        (index.next_definition, index.whole),
        (42, Some(Lsn(0x4000)))
    );
    assert_eq!(index.last, Position::committed(0, Lsn(0x3200)));
    assert_eq!(index.times.oldest, PgMicros(848_000_000_000_001));
    assert_eq!(index.times.newest, PgMicros(848_000_000_000_002));
}

/// Whoever changes what is written has to give it a new version.
#[test]
fn the_same_frames_are_still_written_as_the_same_bytes() {
    let file = std::fs::read(path(FORMAT_VERSION)).unwrap();
    assert!(
        encode() == file,
        "version {FORMAT_VERSION} is written in another way now"
    );
}
