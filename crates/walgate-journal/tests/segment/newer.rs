//! What a later version wrote is told apart from damage: its checksums hold.

use walgate_core::{FrameKind, Gap, GapReason, Lsn};
use walgate_journal::segment::{
    DefinitionCache, Definitions, RECORD_HEADER_BYTES, SegmentWriter, Unreadable,
};

use crate::capture::{Capture, header, table};
use crate::reading::{Ending, read};

const NUMBER: u64 = 5;

/// Header, definition, run, gap; and where each begins.
fn segment() -> (Vec<u8>, [usize; 4]) {
    let mut capture = Capture::default();
    let mut definitions = Definitions::starting_at(40);
    let mut file = Vec::new();
    let mut writer = SegmentWriter::begin(&header(NUMBER), &mut file).unwrap();
    let definition = file.len();
    capture.begin(731, 0x1000, 50);
    capture.row(FrameKind::Insert, &table(16_400, "orders"), &[b"1"]);
    let at = writer.append(&capture.take(), &mut definitions, &mut file);
    let run = at.unwrap().unwrap().offset as usize;
    let gap = Gap {
        from: Lsn(1),
        to: Lsn(0x2000),
        reason: GapReason::SlotLost,
    };
    let at = writer.gap(&gap, &mut file).unwrap();
    (file, [8, definition, run, at.offset as usize])
}

/// Changes bytes of a record, behind its length and checksum, and makes the checksum right.
fn change(file: &mut [u8], start: usize, ordinal: u32, edit: impl FnOnce(&mut [u8])) {
    let len = u32::from_le_bytes(file[start..start + 4].try_into().unwrap()) as usize;
    let record = &mut file[start..start + RECORD_HEADER_BYTES + len];
    edit(&mut record[8..]);
    let mut checked = NUMBER.to_le_bytes().to_vec();
    checked.extend_from_slice(&ordinal.to_le_bytes());
    checked.extend_from_slice(&record[8..]);
    let crc = crc32c::crc32c(&checked);
    record[4..8].copy_from_slice(&crc.to_le_bytes());
}

#[track_caller]
fn assert_newer(file: &[u8], offset: usize, what: &str, found: &str) {
    let reading = read(NUMBER, file, &mut DefinitionCache::new());
    let Ending::Unreadable(Unreadable::Newer(newer)) = reading.ending else {
        panic!("{:?}", reading.ending);
    };
    assert_eq!(
        (newer.offset as usize, newer.what, newer.found.as_str()),
        (offset, what, found)
    );
}

#[test]
fn a_later_format_version() {
    let (mut file, [start, ..]) = segment();
    change(&mut file, start, 0, |record| record[4] = 2);
    assert_newer(&file, start + 12, "format version", "2");
}

#[test]
fn an_unknown_protocol_version() {
    let (mut file, [start, ..]) = segment();
    let protocol = 4 + 2 + 8 + 8 + 12 + 8 + 4 + 1 + 8 + 4;
    change(&mut file, start, 0, |record| record[protocol] = 5);
    assert_newer(&file, start + 8 + protocol, "protocol", "5/0");
}

#[test]
fn an_unknown_kind() {
    let (mut file, [.., gap]) = segment();
    change(&mut file, gap, 3, |record| record[0] = 11);
    assert_newer(&file, gap, "record kind", "11");
}

#[test]
fn an_unknown_flag_on_any_record() {
    let (file, starts) = segment();
    for (ordinal, start) in (0..).zip(starts) {
        let mut file = file.clone();
        change(&mut file, start, ordinal, |record| record[1] = 0x40);
        assert_newer(&file, start, "record flags", "64");
    }
}

/// Flags that other kinds of records have.
#[test]
fn a_flag_that_a_record_never_has() {
    let (file, [_, rest @ ..]) = segment();
    for (ordinal, start) in (1..).zip(rest) {
        for flag in [1, 2] {
            let mut file = file.clone();
            change(&mut file, start, ordinal, |record| record[1] = flag);
            assert_newer(&file, start, "record flags", &flag.to_string());
        }
    }
}

#[test]
fn an_unknown_cipher() {
    let mut file = Vec::new();
    SegmentWriter::begin_with(&header(NUMBER), &crate::packed::keys(), &mut file).unwrap();
    // Before the name of the key, the nonce, the key and its tag.
    let cipher = file.len() - (12 + 32 + 16) - (4 + 12) - 1;
    change(&mut file, 8, 0, |record| record[cipher - 16] = 2);
    assert_newer(&file, cipher, "cipher", "2");
}

#[test]
fn a_reserved_byte_that_is_set() {
    let (mut file, [.., gap]) = segment();
    change(&mut file, gap, 3, |record| record[3] = 1);
    assert_newer(&file, gap, "record flags", "65536");
}

#[test]
fn an_unknown_flag_of_a_run() {
    let (mut file, [_, _, run, _]) = segment();
    change(&mut file, run, 2, |record| record[12] |= 4);
    assert_newer(&file, run + 20, "run flags", "4");
}

#[test]
fn an_unknown_gap_reason() {
    let (mut file, [.., gap]) = segment();
    let reason = 4 + 8 + 1 + 8 + 8 + 4;
    change(&mut file, gap, 3, |record| record[reason] = b'x');
    assert_newer(&file, gap + 8 + reason - 4, "gap reason", "xlot_lost");
}

#[test]
fn an_unknown_shape_or_identity() {
    let (file, [_, definition, ..]) = segment();
    let identity = 4 + 4 + 4 + 4 + 6 + 4 + 6;
    let mut changed = file.clone();
    change(&mut changed, definition, 1, |record| {
        record[identity] = b'z';
    });
    assert_newer(
        &changed,
        definition + 8 + identity,
        "replica identity",
        "122",
    );
    let shape = identity + 1 + 4 + 4 + 2 + 4 + 4 + 4 + 1;
    let mut changed = file;
    change(&mut changed, definition, 1, |record| record[shape + 1] = 99);
    assert_newer(&changed, definition + 8 + shape, "shape", "[0, 99, 0]");
}
