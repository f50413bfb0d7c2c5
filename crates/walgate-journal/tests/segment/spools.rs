//! References and spools: what was streamed reads as if it had come at once, whatever is damaged is
//! found, and the files that version 1 wrote are read.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{
    Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, StreamedFrame, StreamedFrames,
    Transaction,
};
use walgate_journal::segment::{
    Adoption, DefinitionCache, Definitions, Keyring, MAGIC, Part, Record, Reference, SegmentLock,
    SegmentWriter, SpoolWriter,
};

use crate::capture::{Capture, header, table};
use crate::reading::{Ending, assert_same, read};

const NUMBER: u64 = 0x2B;
const SPOOL: u64 = 0x2A_0000_0001;
const XID: u32 = 740;

fn relations() -> Vec<Arc<Relation>> {
    vec![table(16_400, "orders"), table(16_401, "items")]
}

/// The transaction as it comes without streaming, in two runs.
fn plain() -> [Frames; 2] {
    let relations = relations();
    let [orders, items] = [&relations[0], &relations[1]];
    let mut capture = Capture::default();
    capture.begin(XID, 0x5000, 848_000_000_000_003);
    capture.row(FrameKind::Insert, orders, &[b"1", b"first"]);
    capture.truncate(&[items, orders]);
    capture.message(b"inside");
    let first = capture.take();
    capture.row(FrameKind::Update, items, &[b"2", b"second"]);
    capture.row(FrameKind::Delete, orders, &[b"3"]);
    capture.commit();
    [first, capture.take()]
}

/// The changes of a run as they are streamed.
fn streamed(run: &Frames) -> (StreamedFrames, Vec<u32>) {
    let number = |place: u16| {
        let relation = &run.relations[usize::from(place)];
        let known = relations().iter().position(|one| one == relation);
        known.expect("one of both") as u32
    };
    let mut chunk = StreamedFrames::default();
    let mut bytes = Vec::new();
    let mut indices = Vec::new();
    let is_change = |kind| !matches!(kind, FrameKind::Begin | FrameKind::Commit);
    for frame in run.frames.iter().filter(|frame| is_change(frame.kind)) {
        let message = run.message(frame);
        let relation = match frame.kind {
            FrameKind::Truncate => {
                let first = chunk.truncated.len() as u32;
                let tables = usize::from(frame.relation)..;
                let tables = &run.truncated[tables][..run.tables_of(frame) as usize];
                chunk.truncated.extend(tables.iter().copied().map(number));
                first
            }
            FrameKind::Message => 0,
            _ => number(frame.relation),
        };
        chunk.frames.push(StreamedFrame {
            kind: frame.kind,
            relation,
            start: bytes.len() as u32,
            len: message.len() as u32,
            sub: XID,
        });
        bytes.extend_from_slice(message);
        indices.push(frame.index);
    }
    chunk.bytes = Bytes::from(bytes);
    (chunk, indices)
}

/// A spool of two parts, and what adopts it.
fn encode_spool() -> (Vec<u8>, Adoption) {
    let mut spool = Vec::new();
    let keys = Keyring::default();
    let mut writer = SpoolWriter::begin(SPOOL, XID, &keys, &mut spool).unwrap();
    let (mut parts, mut frames, mut last_index) = (Vec::new(), 0, 0);
    for run in &plain() {
        let (chunk, indices) = streamed(run);
        let mut part = Part::behind(frames);
        for (frame, index) in chunk.frames.iter().zip(&indices) {
            part.push(&chunk, frame, *index);
            last_index = *index;
        }
        frames += part.frames();
        let offset = spool.len() as u64;
        parts.push(writer.part(&part, offset, &mut spool).unwrap());
    }
    let adoption = Adoption {
        epoch: 0,
        transaction: Transaction {
            xid: XID,
            commit_lsn: Lsn(0x5000),
            commit_time: PgMicros(848_000_000_000_003),
        },
        end_lsn: Lsn(0x5008),
        spool: SPOOL,
        spool_bytes: spool.len() as u64,
        frames,
        last_index,
        relations: relations(),
        parts,
    };
    (spool, adoption)
}

fn encode_segment(adoption: &Adoption) -> Vec<u8> {
    let mut file = Vec::new();
    let mut definitions = Definitions::starting_at(40);
    let mut writer = SegmentWriter::begin(&header(NUMBER), &mut file).unwrap();
    writer
        .reference(adoption, &mut definitions, &mut file)
        .unwrap();
    writer.seal(&mut file).unwrap();
    file
}

fn reference(file: &[u8]) -> Reference {
    let reading = read(NUMBER, file, &mut DefinitionCache::new());
    assert_eq!(reading.ending, Ending::Sealed);
    let index = reading.scanned.as_ref().unwrap();
    assert_eq!((index.first_entry, index.entries), (100, 4));
    assert_eq!(index.last, Position::committed(0, Lsn(0x5000)));
    assert_eq!(index.whole, Some(Lsn(0x5008)));
    let found = reading.records.iter().find_map(|(_, record)| match record {
        Record::Reference(reference) => Some(reference.as_ref().clone()),
        _ => None,
    });
    found.expect("a reference")
}

fn part_of(spool: &[u8], adoption: &Adoption, place: usize) -> Bytes {
    let part = &adoption.parts[place];
    let from = part.offset as usize;
    Bytes::copy_from_slice(&spool[from..from + part.len as usize])
}

/// The frames of what was adopted, as one run for each of the plain ones.
fn assert_adopted(spool: &[u8], adoption: &Adoption) {
    let lock = SegmentLock::default();
    for (place, plain) in plain().iter().enumerate() {
        let bytes = part_of(spool, adoption, place);
        let part = adoption.read(&lock, &adoption.parts[place], &bytes);
        let part = part.unwrap();
        let both = [adoption.begin(), part, adoption.commit()];
        let runs = match place {
            0 => &both[..2],
            _ => &both[1..],
        };
        let read: Vec<_> = runs
            .iter()
            .flat_map(|run| {
                let one = |frame: &Frame| (run.clone(), *frame);
                run.frames.iter().map(one).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(read.len(), plain.frames.len());
        for ((run, frame), plain_frame) in read.iter().zip(&plain.frames) {
            assert_eq!(
                (frame.kind, frame.index),
                (plain_frame.kind, plain_frame.index)
            );
            assert_eq!(run.message(frame), plain.message(plain_frame));
        }
    }
}

#[test]
fn what_was_streamed_reads_as_if_it_had_come_at_once() {
    let (spool, adoption) = encode_spool();
    let file = encode_segment(&adoption);
    let reference = reference(&file);
    assert_eq!(reference.entry, 100);
    assert_eq!(reference.adoption, adoption);
    assert_adopted(&spool, &adoption);
    let last: Vec<_> = (0..4)
        .map(|entry| adoption.last_of(entry).index())
        .collect();
    assert_eq!(last, [1, 5, 7, Position::COMMIT]);
}

#[test]
fn in_memory_it_becomes_the_same_run() {
    let (_, adoption) = encode_spool();
    let [first, _] = plain();
    let (chunk, indices) = streamed(&first);
    let mut part = Part::behind(0);
    for (frame, index) in chunk.frames.iter().zip(&indices) {
        part.push(&chunk, frame, *index);
    }
    let run = part.committed(&adoption, true, false).expect("sound");
    assert_same(&first, &run);
}

#[test]
fn every_flipped_bit_of_a_part_is_found() {
    let (spool, adoption) = encode_spool();
    let lock = SegmentLock::default();
    for place in 0..2 {
        let sound = part_of(&spool, &adoption, place);
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = adoption.read(&lock, &adoption.parts[place], &Bytes::from(bytes));
            assert!(read.is_err(), "bit {bit} of part {place}");
        }
        let cut = sound.slice(..sound.len() - 1);
        assert!(adoption.read(&lock, &adoption.parts[place], &cut).is_err());
    }
    let swapped = part_of(&spool, &adoption, 1);
    assert!(adoption.read(&lock, &adoption.parts[0], &swapped).is_err());
}

fn golden(name: &str, encoded: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/segments")
        .join(name);
    if std::env::var_os("WALGATE_BLESS_SEGMENT").is_some() && !path.exists() {
        std::fs::write(&path, encoded).unwrap();
    }
    std::fs::read(path).unwrap()
}

#[test]
fn a_reference_and_its_spool_of_version_1_are_read() {
    let (spool, adoption) = encode_spool();
    let file = encode_segment(&adoption);
    let old_spool = golden("v1-streamed.spool", &spool);
    let old_file = golden("v1-streamed.segment", &file);
    let old = reference(&old_file);
    assert_eq!(old.adoption, adoption);
    assert!(old_spool.starts_with(&MAGIC));
    assert_adopted(&old_spool, &old.adoption);
    assert!(
        old_spool == spool && old_file == file,
        "version 1 is written in another way now"
    );
}
