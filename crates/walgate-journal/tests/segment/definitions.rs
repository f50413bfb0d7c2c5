//! One definition, one number; one number, one `Arc`.

use std::sync::Arc;

use walgate_core::{FrameKind, Relation};
use walgate_journal::segment::{
    Damage, DefinitionCache, Definitions, Record, SegmentWriter, Unreadable,
};

use crate::capture::{Capture, header, table};
use crate::reading::{Ending, addresses, read};

fn renamed(table: &Arc<Relation>, name: &str) -> Arc<Relation> {
    let mut other = (**table).clone();
    other.name = name.to_owned();
    Arc::new(other)
}

#[test]
fn equal_definitions_share_a_number_and_changed_ones_do_not() {
    let mut definitions = Definitions::starting_at(7);
    let orders = table(16_400, "orders");
    let again = table(16_400, "orders");
    let other = renamed(&orders, "order");
    assert_eq!(definitions.number(&orders), Ok(7));
    assert_eq!(definitions.number(&other), Ok(8));
    assert_eq!(definitions.number(&again), Ok(7));
    assert_eq!(definitions.number(&other), Ok(8));
    assert_eq!(definitions.number(&table(16_401, "orders")), Ok(9));
    assert_eq!(definitions.next(), 10);
}

#[test]
fn memory_stays_bounded_when_a_relation_changes_for_ever() {
    let mut definitions = Definitions::default();
    let orders = table(16_400, "orders");
    for turn in 0..1000 {
        let changed = renamed(&orders, &format!("orders_{turn}"));
        assert_eq!(definitions.number(&changed), Ok(turn));
        // Only what was used last is held: by us, and by the table of numbers.
        assert_eq!(definitions.number(&changed), Ok(turn));
        if turn >= 8 {
            assert_eq!(Arc::strong_count(&changed), 2);
        }
    }
    // What was forgotten gets a new number.
    assert_eq!(definitions.number(&renamed(&orders, "orders_0")), Ok(1000));
}

#[test]
fn a_definition_is_written_once_in_each_segment() {
    let orders = table(16_400, "orders");
    let mut definitions = Definitions::default();
    let mut cache = DefinitionCache::new();
    let mut seen = Vec::new();
    for number in [5, 6] {
        let mut file = Vec::new();
        let mut writer = SegmentWriter::begin(&header(number), &mut file).unwrap();
        let mut capture = Capture::default();
        capture.begin(731, 0x1000, 50);
        for _ in 0..3 {
            capture.row(FrameKind::Insert, &orders, &[b"1"]);
            let run = capture.take();
            writer.append(&run, &mut definitions, &mut file).unwrap();
        }
        let reading = read(number, &file, &mut cache);
        let defined = reading
            .records
            .iter()
            .filter(|(_, record)| matches!(record, Record::Definition { number: 0, .. }));
        assert_eq!(defined.count(), 1);
        seen.extend(reading.runs().flat_map(|run| addresses(&run.relations)));
    }
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|address| *address == seen[0]));
}

#[test]
fn a_number_with_two_definitions_is_damage() {
    let mut cache = DefinitionCache::new();
    let mut endings = Vec::new();
    for name in ["orders", "items"] {
        let mut file = Vec::new();
        let mut writer = SegmentWriter::begin(&header(5), &mut file).unwrap();
        let mut capture = Capture::default();
        capture.begin(731, 0x1000, 50);
        capture.row(FrameKind::Insert, &table(16_400, name), &[b"1"]);
        let run = capture.take();
        writer
            .append(&run, &mut Definitions::default(), &mut file)
            .unwrap();
        endings.push(read(5, &file, &mut cache).ending);
    }
    assert_eq!(endings[0], Ending::Unsealed);
    assert!(
        matches!(
            endings[1],
            Ending::Unreadable(Unreadable::Damage(Damage {
                what: "a definition number that has another definition",
                ..
            }))
        ),
        "{:?}",
        endings[1]
    );
}

/// After damage, numbers can be given again: the segment at hand says what one means, and a number
/// that it has not defined means nothing.
#[test]
fn a_number_means_what_its_own_segment_says() {
    let mut cache = DefinitionCache::new();
    for (number, name) in [(5, "orders"), (6, "items"), (7, "items")] {
        let mut file = Vec::new();
        let mut writer = SegmentWriter::begin(&header(number), &mut file).unwrap();
        let mut capture = Capture::default();
        capture.begin(731, 0x1000, 50);
        capture.row(FrameKind::Insert, &table(16_400, name), &[b"1"]);
        let run = capture.take();
        writer
            .append(&run, &mut Definitions::default(), &mut file)
            .unwrap();
        let reading = read(number, &file, &mut cache);
        assert_eq!(reading.ending, Ending::Unsealed);
        let names = reading.runs().flat_map(|run| &run.relations);
        assert!(names.map(|relation| &relation.name).eq([name]));
        assert!(cache.get(number, 0).is_some());
        assert!(cache.get(number - 1, 0).is_none());
    }
}
