//! Bytes that nobody wrote, with checksums that hold: nothing panics, and whatever comes out keeps
//! the invariants of frames.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use walgate_core::{FrameKind, Frames, Gap, GapReason, Lsn};
use walgate_journal::segment::{
    DefinitionCache, Definitions, RECORD_HEADER_BYTES, SegmentIndex, SegmentWriter, TRAILER_BYTES,
};

use crate::capture::{Capture, header, table};
use crate::reading::read;

const NUMBER: u64 = 5;

fn segment() -> Vec<u8> {
    let (orders, items) = (table(16_400, "orders"), table(16_401, "items"));
    let mut capture = Capture::default();
    let mut definitions = Definitions::starting_at(40);
    let mut file = Vec::new();
    let mut writer = SegmentWriter::begin(&header(NUMBER), &mut file).unwrap();
    capture.begin(731, 0x1000, 50);
    capture.row(FrameKind::Insert, &orders, &[b"1"]);
    writer
        .append(&capture.take(), &mut definitions, &mut file)
        .unwrap();
    capture.truncate(&[&orders, &items]);
    capture.message(b"inside");
    capture.commit();
    capture.standalone(0x1400, b"alone");
    capture.progress(0x1500);
    writer
        .append(&capture.take(), &mut definitions, &mut file)
        .unwrap();
    let gap = Gap {
        from: Lsn(0x1500),
        to: Lsn(0x1600),
        reason: GapReason::SlotAhead,
    };
    writer.gap(&gap, &mut file).unwrap();
    writer.progress(Lsn(0x1700), &mut file).unwrap();
    writer.seal(&mut file).unwrap();
    file
}

/// Makes lengths and checksums right as far as records can be told apart.
fn repair(file: &mut [u8]) {
    let end = file.len().saturating_sub(TRAILER_BYTES);
    let (mut at, mut ordinal) = (8, 0u32);
    while at + RECORD_HEADER_BYTES < end {
        let len = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let behind = at + RECORD_HEADER_BYTES + len;
        if behind > end {
            return;
        }
        let place = if file[at + 8] == 6 { u32::MAX } else { ordinal };
        let mut checked = NUMBER.to_le_bytes().to_vec();
        checked.extend_from_slice(&place.to_le_bytes());
        checked.extend_from_slice(&file[at + 8..behind]);
        let crc = crc32c::crc32c(&checked);
        file[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        (at, ordinal) = (behind, ordinal + 1);
    }
}

fn assert_sound(frames: &Frames) {
    for frame in &frames.frames {
        assert!(frame.start as usize + frame.len as usize <= frames.bytes.len());
        assert_eq!(frames.message(frame).len(), frame.len as usize);
        match frame.kind {
            FrameKind::Insert | FrameKind::Update | FrameKind::Delete => {
                assert!(frames.relation(frame).is_some());
            }
            FrameKind::Truncate => {
                let end = frame.relation as usize + frames.tables_of(frame) as usize;
                assert!(end <= frames.truncated.len());
            }
            _ => {}
        }
    }
    let places = frames.truncated.iter().map(|place| usize::from(*place));
    assert!(
        places
            .into_iter()
            .all(|place| place < frames.relations.len())
    );
    assert!(frames.last().is_some());
}

fn check(file: &[u8]) {
    let reading = read(NUMBER, file, &mut DefinitionCache::new());
    for run in reading.runs() {
        assert_sound(run);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn changed_bytes_with_right_checksums(
        edits in vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..4),
    ) {
        let mut file = segment();
        for (place, byte, nudge) in &edits {
            let at = place.index(file.len());
            file[at] = if *nudge { file[at].wrapping_add(1 | (byte % 4)) } else { *byte };
        }
        repair(&mut file);
        check(&file);
    }

    #[test]
    fn counts_that_claim_too_much(place in any::<Index>(), count in any::<u32>()) {
        let mut file = segment();
        let at = place.index(file.len() - 4);
        file[at..at + 4].copy_from_slice(&count.to_le_bytes());
        repair(&mut file);
        check(&file);
    }

    #[test]
    fn anything_at_all(bytes in vec(any::<u8>(), 0..600), magic in any::<bool>()) {
        let mut file = if magic { b"WALGATE\n".to_vec() } else { Vec::new() };
        file.extend_from_slice(&bytes);
        if magic {
            repair(&mut file);
        }
        check(&file);
        prop_assert!(SegmentIndex::decode(NUMBER, 0, &bytes).is_err());
    }
}
