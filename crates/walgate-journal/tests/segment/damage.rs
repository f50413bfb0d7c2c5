//! Whatever happens to a file is found, and nothing that was not written is ever read.

use std::ops::Range;

use walgate_core::{FrameKind, Gap, GapReason, Lsn};
use walgate_journal::segment::{
    Damage, DefinitionCache, Definitions, RECORD_HEADER_BYTES, SegmentWriter, TRAILER_BYTES,
    Unreadable,
};

use crate::capture::{Capture, header, table};
use crate::reading::{Ending, Reading, read};

/// A segment with every kind of record, and where its records lie.
fn segment(number: u64) -> (Vec<u8>, Vec<Range<usize>>) {
    let (orders, items) = (table(16_400, "orders"), table(16_401, "items"));
    let mut capture = Capture::default();
    let mut definitions = Definitions::starting_at(40);
    let mut file = Vec::new();
    let mut writer = SegmentWriter::begin(&header(number), &mut file).unwrap();
    capture.begin(731, 0x1000, 50);
    capture.row(FrameKind::Insert, &orders, &[b"1", b"first"]);
    writer
        .append(&capture.take(), &mut definitions, &mut file)
        .unwrap();
    capture.row(FrameKind::Update, &items, &[b"2", b"second"]);
    capture.truncate(&[&orders, &items]);
    capture.commit();
    capture.progress(0x1100);
    writer
        .append(&capture.take(), &mut definitions, &mut file)
        .unwrap();
    capture.progress(0x1200);
    writer
        .append(&capture.take(), &mut definitions, &mut file)
        .unwrap();
    let gap = Gap {
        from: Lsn(0x1200),
        to: Lsn(0x1300),
        reason: GapReason::SlotAhead,
    };
    writer.gap(&gap, &mut file).unwrap();
    capture.standalone(0x1400, b"alone");
    writer
        .append(&capture.take(), &mut definitions, &mut file)
        .unwrap();
    writer.seal(&mut file).unwrap();

    let mut records = Vec::new();
    let mut at = 8;
    while at < file.len() - TRAILER_BYTES {
        let len = u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let end = at + RECORD_HEADER_BYTES + len;
        records.push(at..end);
        at = end;
    }
    assert_eq!(at, file.len() - TRAILER_BYTES);
    assert_eq!(records.len(), 9);
    (file, records)
}

fn scan(file: &[u8]) -> Reading {
    read(5, file, &mut DefinitionCache::new())
}

/// Which record `at` lies in; the trailer counts as the last.
fn record_at(records: &[Range<usize>], at: usize) -> usize {
    records
        .iter()
        .position(|record| at < record.end)
        .unwrap_or(records.len() - 1)
}

#[test]
fn a_sound_segment_is_read_to_its_end() {
    let (file, records) = segment(5);
    let reading = scan(&file);
    assert_eq!(reading.ending, Ending::Sealed);
    assert_eq!(reading.end, file.len() as u64);
    assert_eq!(reading.records.len(), records.len() - 1);
}

#[test]
fn every_flipped_bit_is_found_where_it_is() {
    let (file, records) = segment(5);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut file = file.clone();
            file[at] ^= 1 << bit;
            let reading = scan(&file);
            let broken = record_at(&records, at);
            // The header counts as a record, but is not listed.
            assert_eq!(
                reading.records.len(),
                broken.saturating_sub(1),
                "byte {at} bit {bit}"
            );
            match reading.ending {
                Ending::Unreadable(Unreadable::Damage(Damage { offset, .. })) => {
                    let record = &records[broken];
                    let found = usize::try_from(offset).unwrap();
                    let in_magic = at < 8 && found == 0;
                    assert!(
                        in_magic || (record.start..=record.end).contains(&found),
                        "{at}"
                    );
                }
                // A longer length reaches beyond the file.
                Ending::Torn(needed) => {
                    let length = records[broken].start..records[broken].start + 4;
                    assert!(length.contains(&at), "byte {at} bit {bit}");
                    assert!(records[broken].start + needed > file.len());
                }
                other => panic!("byte {at} bit {bit} ends with {other:?}"),
            }
        }
    }
}

#[test]
fn a_file_that_ends_too_early_is_torn_at_its_last_record() {
    let (file, records) = segment(5);
    for len in 0..file.len() {
        let reading = scan(&file[..len]);
        let whole = records.iter().filter(|record| record.end <= len).count();
        let index = records.len() - 1;
        let boundary = whole > 0 && len == records[whole - 1].end && whole <= index;
        if boundary {
            assert_eq!(reading.ending, Ending::Unsealed, "{len}");
        } else {
            let Ending::Torn(needed) = reading.ending else {
                panic!("cut at {len}: {:?}", reading.ending);
            };
            let missing = reading.end as usize + needed;
            assert!(
                missing > len && missing <= file.len(),
                "cut at {len}: {missing}"
            );
        }
        // An index without its trailer is not there yet.
        assert_eq!(
            reading.records.len(),
            whole.min(index).saturating_sub(1),
            "{len}"
        );
    }
}

#[test]
fn zeros_behind_the_tail_are_its_end() {
    let (file, records) = segment(5);
    for record in &records[1..] {
        for zeros in [12, 13, 4096] {
            let mut file = file[..record.start].to_vec();
            file.resize(record.start + zeros, 0);
            let reading = scan(&file);
            assert_eq!(reading.ending, Ending::Zeros);
            assert_eq!(reading.end as usize, record.start);
        }
    }
}

#[test]
fn a_file_of_zeros_is_no_segment() {
    let reading = scan(&[0; 4096]);
    assert!(matches!(
        reading.ending,
        Ending::Unreadable(Unreadable::Damage(_))
    ));
    let mut file = b"WALGATE\n".to_vec();
    file.resize(4096, 0);
    assert!(matches!(
        scan(&file).ending,
        Ending::Unreadable(Unreadable::Damage(_))
    ));
}

#[test]
fn a_record_of_another_segment_is_refused() {
    let ((ours, records), (theirs, same)) = (segment(5), segment(6));
    assert_eq!(records, same);
    for (place, record) in records.iter().enumerate() {
        let mut file = ours.clone();
        file[record.clone()].copy_from_slice(&theirs[record.clone()]);
        let reading = scan(&file);
        let damage = Damage {
            offset: record.start as u64,
            what: "a record with a wrong checksum",
        };
        assert_eq!(reading.ending, Ending::Unreadable(damage.into()));
        assert_eq!(reading.records.len(), place.saturating_sub(1));
    }
}

#[test]
fn a_record_in_another_place_of_its_segment_is_refused() {
    let (file, records) = segment(5);
    for (place, record) in records.iter().enumerate().skip(1) {
        // Once more behind itself, and left out.
        let mut twice = file[..record.end].to_vec();
        twice.extend_from_slice(&file[record.start..]);
        let mut without = file[..record.start].to_vec();
        without.extend_from_slice(&file[record.end..]);
        let index = place == records.len() - 1;
        for file in [twice, without] {
            let ending = scan(&file).ending;
            let damaged = matches!(ending, Ending::Unreadable(Unreadable::Damage(_)));
            // Without its index, what is left of the trailer is too short for a record's body.
            assert!(
                damaged || (index && matches!(ending, Ending::Torn(_))),
                "{place}: {ending:?}"
            );
        }
    }
}

#[test]
fn a_trailer_of_another_index_is_refused() {
    let (file, records) = segment(5);
    let index = records.last().unwrap();
    let mut moved = file[..records[8 - 1].start].to_vec();
    moved.extend_from_slice(&file[index.start..]);
    let ending = scan(&moved).ending;
    assert!(
        matches!(ending, Ending::Unreadable(Unreadable::Damage(_))),
        "{ending:?}"
    );
}

#[test]
fn bytes_behind_the_trailer_are_damage() {
    let (mut file, _) = segment(5);
    let end = file.len() as u64;
    file.push(0);
    let damage = Damage {
        offset: end,
        what: "bytes behind the trailer",
    };
    assert_eq!(scan(&file).ending, Ending::Unreadable(damage.into()));
}
