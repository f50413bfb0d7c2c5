//! The index leads to any entry, position and time, and reading goes on from each of its points.

use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{FrameKind, PgMicros, Position, Relation};
use walgate_journal::segment::{
    DefinitionCache, Definitions, INDEX_INTERVAL_BYTES, Record, SegmentIndex, SegmentReader,
    SegmentWriter, Unreadable,
};

use crate::capture::{Capture, header, table};
use crate::reading::{Ending, empty_reading, read, read_on};

const NUMBER: u64 = 5;

/// About 3 MiB: transactions of three runs each, later tables appear later.
fn segment() -> (Vec<u8>, SegmentIndex) {
    let tables: Vec<Arc<Relation>> = (0..6)
        .map(|place| table(16_400 + place, &format!("table_{place}")))
        .collect();
    let text = [b'x'; 900];
    let mut capture = Capture::default();
    let mut definitions = Definitions::starting_at(40);
    let mut file = Vec::new();
    let mut writer = SegmentWriter::begin(&header(NUMBER), &mut file).unwrap();
    for turn in 0..200u64 {
        // Times go forward, with a step back now and then.
        let time = turn * 1000 - if turn % 7 == 3 { 2500 } else { 0 };
        capture.begin(700 + turn as u32, 0x1000 + turn * 0x100, time as i64);
        for _ in 0..3 {
            for _ in 0..6 {
                let known = 1 + turn as usize * tables.len() / 201;
                let table = &tables[turn as usize % known];
                capture.row(FrameKind::Insert, table, &[b"1", &text]);
            }
            let run = capture.take();
            writer.append(&run, &mut definitions, &mut file).unwrap();
        }
        capture.commit();
    }
    let run = capture.take();
    writer.append(&run, &mut definitions, &mut file).unwrap();
    let (index, _) = writer.seal(&mut file).unwrap();
    (file, index)
}

/// Entry number, last position and time of each run.
fn runs(file: &[u8]) -> Vec<(u64, Position, PgMicros)> {
    let reading = read(NUMBER, file, &mut DefinitionCache::new());
    assert_eq!(reading.ending, Ending::Sealed);
    reading
        .records
        .iter()
        .filter_map(|(_, record)| match record {
            Record::Run(run) => Some((run.entry, run.last, run.times.newest)),
            _ => None,
        })
        .collect()
}

#[test]
fn points_lie_an_interval_apart() {
    let (file, index) = segment();
    let apart = INDEX_INTERVAL_BYTES as usize;
    assert!((file.len() / apart / 2..=file.len() / apart + 1).contains(&index.points.len()));
    assert!(index.points.len() > 8);
    assert_eq!(index.definitions.len(), 6);
    assert_eq!((index.first_entry, index.entries), (100, 601));
    assert_eq!(index.next_definition, 46);
    assert_eq!(index.times.oldest, PgMicros(0));
    assert_eq!(index.times.newest, PgMicros(198_000));
}

#[test]
fn reading_goes_on_from_every_point() {
    let (file, index) = segment();
    let all = runs(&file);
    for point in &index.points {
        let mut cache = DefinitionCache::new();
        for definition in index.definitions_before(point.offset) {
            let start = definition.offset as usize;
            let bytes = &file[start..start + definition.len as usize];
            definition.load(NUMBER, bytes, &mut cache).unwrap();
        }
        let reader = SegmentReader::resume(NUMBER, point.location());
        let chunk = Bytes::copy_from_slice(&file[point.offset as usize..]);
        let reading = read_on(reader, chunk, &mut cache, empty_reading());
        assert_eq!(reading.ending, Ending::Sealed);
        let entries = reading
            .records
            .iter()
            .filter_map(|(at, record)| matches!(record, Record::Run(_)).then_some(at.entry));
        assert!(entries.eq(point.entry..index.next_entry()));
        let before = all.iter().filter(|run| run.0 < point.entry);
        let (last, newest) = before
            .fold((index.before, PgMicros(i64::MIN)), |(last, newest), run| {
                (last.max(run.1), newest.max(run.2))
            });
        assert_eq!((point.before, point.newest_before), (last, newest));
    }
}

#[test]
fn reading_without_the_definitions_before_is_damage_not_a_guess() {
    let (file, index) = segment();
    let point = index.points.last().unwrap();
    let reader = SegmentReader::resume(NUMBER, point.location());
    let chunk = Bytes::copy_from_slice(&file[point.offset as usize..]);
    let reading = read_on(reader, chunk, &mut DefinitionCache::new(), empty_reading());
    let Ending::Unreadable(Unreadable::Damage(damage)) = reading.ending else {
        panic!("{:?}", reading.ending);
    };
    assert_eq!(
        damage.what,
        "a run of a relation that was not defined before it"
    );
}

#[test]
fn a_definition_point_loads_only_its_definition() {
    let (file, index) = segment();
    let point = index.points[0];
    let mut wrong = index.definitions[0];
    (wrong.offset, wrong.ordinal) = (point.offset, point.ordinal);
    let bytes = &file[wrong.offset as usize..];
    assert!(
        wrong
            .load(NUMBER, bytes, &mut DefinitionCache::new())
            .is_err()
    );
    let mut other = index.definitions[0];
    other.number += 1;
    let bytes = &file[other.offset as usize..];
    assert!(
        other
            .load(NUMBER, bytes, &mut DefinitionCache::new())
            .is_err()
    );
}

#[test]
fn every_entry_position_and_time_is_found() {
    let (file, index) = segment();
    let all = runs(&file);
    assert_eq!(index.point_of_entry(99), None);
    assert_eq!(index.point_behind(Position::ZERO), None);
    assert_eq!(index.point_of_time(PgMicros(i64::MIN)), None);
    for (entry, last, _) in &all {
        let point = index.point_of_entry(*entry).unwrap();
        assert!(point.entry <= *entry);
        // Whoever has everything up to `last` finds what follows at or behind the point.
        let point = index.point_behind(*last).unwrap();
        assert!(point.before <= *last && point.entry <= entry + 1);
    }
    for time in (0..200_000).step_by(500) {
        let first = all.iter().find(|run| run.2 >= PgMicros(time));
        let point = index.point_of_time(PgMicros(time)).unwrap();
        assert!(first.is_none_or(|run| point.entry <= run.0), "{time}");
    }
    let last = index.points.last().unwrap();
    assert_eq!(index.point_of_entry(u64::MAX), Some(last));
    assert_eq!(index.point_at_or_behind(last.offset), Some(last));
    assert_eq!(index.point_at_or_behind(last.offset + 1), None);
}

/// A chunk that ends anywhere is continued with the bytes that it lacked.
#[test]
fn reading_goes_on_when_a_chunk_ends_anywhere() {
    let (file, index) = segment();
    let mut cache = DefinitionCache::new();
    let point = index.points[0];
    for definition in index.definitions_before(point.offset) {
        let start = definition.offset as usize;
        let bytes = &file[start..start + definition.len as usize];
        definition.load(NUMBER, bytes, &mut cache).unwrap();
    }
    let mut reader = SegmentReader::resume(NUMBER, point.location());
    let mut entries = 0;
    let mut want = 1;
    loop {
        let start = reader.offset() as usize;
        let end = (start + want).min(file.len());
        let mut chunk = Bytes::copy_from_slice(&file[start..end]);
        match reader.next(&mut chunk, &mut cache).unwrap() {
            walgate_journal::segment::Next::Record(_, _, record) => {
                entries += u64::from(matches!(record, Record::Run(_)));
                want = 1;
            }
            walgate_journal::segment::Next::Incomplete(needed) => {
                assert!(needed > end - start && start + needed <= file.len());
                want = needed;
            }
            walgate_journal::segment::Next::End(_) => break,
        }
        if reader.offset() as usize == file.len() {
            break;
        }
    }
    assert_eq!(entries, index.entries);
}

/// A segment whose first records are damaged is sealed by what a scan still finds in it.
#[test]
fn an_index_of_a_damaged_segment_is_sound() {
    let header = header(NUMBER);
    let mut index = SegmentIndex::new(&header);
    index.entries = 3;
    let mut sealed = Vec::new();
    index.seal(NUMBER, 500, &mut sealed).unwrap();
    assert_eq!(SegmentIndex::decode(NUMBER, 500, &sealed), Ok(index));
}
