//! The example of `SEGMENT.md` is what is written and read.

use std::path::PathBuf;

use walgate_core::{FrameKind, Lsn, PgMicros, Position, Relation, ReplicaIdentity, Scalar, Shape};
use walgate_journal::segment::{
    DefinitionCache, Definitions, Record, SegmentHeader, SegmentWriter,
};
use walgate_pgoutput::{Dialect, ProtocolVersion, Streaming};

use crate::capture::{Capture, column, facts};
use crate::reading::{Ending, assert_same, read};

/// The bytes of the document's blocks that are marked `hex`; what stands behind `#` is a comment.
fn example() -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("SEGMENT.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut inside = false;
    let mut bytes = Vec::new();
    for line in text.lines() {
        match line.trim() {
            "```hex" => inside = true,
            "```" => inside = false,
            line if inside => {
                let digits = line.split('#').next().unwrap_or_default();
                for byte in digits.split_whitespace() {
                    bytes.push(u8::from_str_radix(byte, 16).expect(byte));
                }
            }
            _ => {}
        }
    }
    bytes
}

/// What the document says that the example holds.
fn described() -> (SegmentHeader, Capture) {
    let mut facts = facts();
    facts.system_id = 0x6500_0000_0000_0001;
    facts.slot = "walgate".to_owned();
    facts.server_version = "18.1".to_owned();
    facts.settings = vec![("TimeZone".to_owned(), "UTC".to_owned())];
    facts.dialect = Dialect {
        version: ProtocolVersion::V2,
        streaming: Streaming::Off,
    };
    let header = SegmentHeader {
        number: 3,
        first_entry: 17,
        before: Position::committed(0, Lsn(0x14A_2F60)),
        created: PgMicros(848_500_200_000_000),
        next_definition: 4,
        facts,
    };
    let mut capture = Capture::default();
    let table = Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "t".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: vec![column("id", 20, Shape::Scalar(Scalar::BigInt))],
        primary_key: Vec::new(),
    };
    capture.begin(731, 0x14A_3100, 848_500_200_500_000);
    capture.row(FrameKind::Insert, &table.into(), &[b"42"]);
    capture.commit();
    (header, capture)
}

fn written() -> Vec<u8> {
    let (header, mut capture) = described();
    let mut file = Vec::new();
    let mut definitions = Definitions::starting_at(header.next_definition);
    let mut writer = SegmentWriter::begin(&header, &mut file).unwrap();
    let run = capture.take();
    writer.append(&run, &mut definitions, &mut file).unwrap();
    writer.progress(Lsn(0x14A_3200), &mut file).unwrap();
    writer.seal(&mut file).unwrap();
    file
}

#[test]
fn the_example_is_what_is_written() {
    let written = written();
    assert!(
        example() == written,
        "the example should be\n{written:02x?}"
    );
}

#[test]
fn the_example_is_what_is_read() {
    let (header, mut capture) = described();
    let reading = read(3, &example(), &mut DefinitionCache::new());
    assert_eq!(reading.ending, Ending::Sealed);
    assert_eq!(reading.header, Some(header));
    let [
        (_, definition),
        (_, run),
        (_, progress),
        (_, Record::Index(index)),
    ] = reading.records.as_slice()
    else {
        panic!("{:?}", reading.records);
    };
    assert!(matches!(definition, Record::Definition { number: 4, .. }));
    let Record::Run(run) = run else {
        panic!("{run:?}");
    };
    assert_same(&capture.take(), &run.frames);
    assert_eq!((run.entry, run.whole), (17, Some(Lsn(0x14A_3108))));
    assert!(matches!(
        progress,
        Record::Progress {
            epoch: 0,
            lsn: Lsn(0x14A_3200)
        }
    ));
    assert_eq!(Some(index), reading.scanned.as_ref());
}
