//! A file that claims to be a segment: nothing panics, what comes out keeps the invariants of
//! frames, and written again it is read as the same. The input is a file of which every checksum
//! is made right first, or random bytes would never come past the first.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use walgate_core::{FrameKind, Frames};
use walgate_journal::segment::{
    DefinitionCache, Definitions, INDEX_INTERVAL_BYTES, Next, Record, SegmentIndex, SegmentReader,
    SegmentWriter, Start, TRAILER_BYTES, Trailer,
};

const NUMBER: u64 = 0x2A;
const MAGIC_BYTES: usize = 8;
const HEADER_BYTES: usize = 12;
const INDEX: u8 = 6;

fuzz_target!(|data: &[u8]| {
    // As it is, with no help: damage, nothing else.
    read(data);
    let mut file = data.to_vec();
    repair(&mut file);
    if let Some(last) = file.last_chunk::<TRAILER_BYTES>()
        && let Some(trailer) = Trailer::decode(NUMBER, last)
        && let Ok(at) = usize::try_from(trailer.index_offset)
    {
        // A damaged index may not be believed, but must be survived.
        let rest = file.get(at..).unwrap_or_default();
        if let Ok(index) = SegmentIndex::decode(NUMBER, trailer.index_offset, rest) {
            follow(&file, &index);
        }
    }
    read(&file);
});

/// Makes the checksums right of all records that can be told apart.
fn repair(file: &mut [u8]) {
    let (mut at, mut ordinal) = (MAGIC_BYTES, 0u32);
    while let Some(head) = file.get(at..at + HEADER_BYTES) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let place = if head[8] == INDEX { u32::MAX } else { ordinal };
        let Some(checked) = file.get(at + 8..at + HEADER_BYTES + len) else {
            return;
        };
        let crc = crc32c::crc32c(&NUMBER.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &place.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, checked);
        file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        (at, ordinal) = (at + HEADER_BYTES + len, ordinal + 1);
    }
}

fn read(file: &[u8]) {
    let mut chunk = Bytes::copy_from_slice(file);
    let Ok(Start::Segment(header, mut reader)) = SegmentReader::open(NUMBER, &mut chunk) else {
        return;
    };
    let mut cache = DefinitionCache::new();
    let mut copy = Vec::new();
    let mut definitions = Definitions::starting_at(header.next_definition);
    let mut writer = SegmentWriter::begin(&header, &mut copy).expect("a header that was read");
    let mut index = SegmentIndex::new(&header);
    let mut runs = Vec::new();
    loop {
        let offset = reader.offset();
        assert_eq!(offset as usize + chunk.len(), file.len());
        match reader.next(&mut chunk, &mut cache) {
            Ok(Next::Record(at, len, record)) => {
                assert_eq!(at.offset, offset);
                index.note(at, len, &record);
                if let Record::Run(run) = record {
                    assert_sound(&run.frames);
                    if run.frames.epoch == header.facts.epoch {
                        let at = writer.append(&run.frames, &mut definitions, &mut copy);
                        // Only when the header says that all numbers are used up.
                        if at.is_ok() {
                            runs.push(run.frames);
                        }
                    }
                }
            }
            Ok(Next::Incomplete(needed)) => {
                assert!(needed > chunk.len());
                break;
            }
            Ok(Next::End(_)) | Err(_) => break,
        }
    }
    let points = index.points.windows(2);
    assert!(
        points
            .into_iter()
            .all(|pair| pair[1].offset - pair[0].offset >= INDEX_INTERVAL_BYTES)
    );
    assert_same(&runs, &copy);
}

/// What was read and written again is the same.
fn assert_same(runs: &[Frames], file: &[u8]) {
    let mut chunk = Bytes::copy_from_slice(file);
    let Ok(Start::Segment(_, mut reader)) = SegmentReader::open(NUMBER, &mut chunk) else {
        panic!("a header that was written is not read");
    };
    let mut cache = DefinitionCache::new();
    let mut runs = runs.iter();
    while let Next::Record(_, _, record) = reader.next(&mut chunk, &mut cache).expect("sound") {
        if let Record::Run(run) = record {
            let before = runs.next().expect("as many as were written");
            assert_eq!(run.frames.frames, before.frames);
            assert_eq!(run.frames.bytes, before.bytes);
            assert_eq!(run.frames.relations, before.relations);
            assert_eq!(run.frames.truncated, before.truncated);
            assert_eq!(
                (run.frames.open, run.frames.progress, run.frames.epoch),
                (before.open, before.progress, before.epoch)
            );
        }
    }
    assert!(runs.next().is_none());
}

/// Begins at every point that an index names.
fn follow(file: &[u8], index: &SegmentIndex) {
    for point in index.points.iter().take(16) {
        assert_eq!(index.point_of_entry(point.entry), Some(point));
        let mut cache = DefinitionCache::new();
        for definition in index.definitions_before(point.offset) {
            let start = definition.offset as usize;
            let bytes = file.get(start..).unwrap_or_default();
            let bytes = bytes.get(..definition.len as usize).unwrap_or(bytes);
            // A definition that is none is found here.
            let _found = definition.load(NUMBER, bytes, &mut cache);
        }
        let mut chunk =
            Bytes::copy_from_slice(file.get(point.offset as usize..).unwrap_or_default());
        let mut reader = SegmentReader::resume(NUMBER, point.location());
        while let Ok(Next::Record(_, _, record)) = reader.next(&mut chunk, &mut cache) {
            if let Record::Run(run) = record {
                assert_sound(&run.frames);
            }
        }
    }
}

fn assert_sound(frames: &Frames) {
    for frame in &frames.frames {
        assert_eq!(frames.message(frame).len(), frame.len as usize);
        match frame.kind {
            FrameKind::Insert | FrameKind::Update | FrameKind::Delete => {
                assert!(frames.relation(frame).is_some());
            }
            FrameKind::Truncate => {
                let end = frame.relation as usize + frames.tables_of(frame) as usize;
                assert!(end <= frames.truncated.len());
            }
            FrameKind::Begin => assert!(frames.begun(frame).is_some()),
            FrameKind::Commit | FrameKind::Message | FrameKind::Standalone => {}
        }
    }
    let mut places = frames.truncated.iter().map(|place| usize::from(*place));
    assert!(places.all(|place| place < frames.relations.len()));
    assert!(frames.last().is_some());
}
