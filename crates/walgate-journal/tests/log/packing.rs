//! Sealed segments are compressed, and nobody who reads can tell.

use std::io::ErrorKind;
use std::sync::Arc;

use walgate_core::{Gap, GapReason, Lsn};
use walgate_journal::log::{LogView, Segment};
use walgate_journal::storage::{Call, Fault, SimulatedDisk, Storage, When};

use crate::rig::{Rig, file, read_all, read_on, rows_of};
use crate::runs::{at, commit, whole};

/// A log of about ten segments with rows, progress and a gap.
fn log_on(disk: &SimulatedDisk) -> Rig {
    let mut rig = Rig::on(disk, 0);
    for lsn in 1..=50 {
        rig.append(&whole(lsn * 100).of(lsn as u32 % 3 + 1).frames());
        if lsn % 7 == 0 {
            rig.progress(lsn * 100 + 20);
        }
    }
    let gap = Gap {
        from: Lsn(5_008),
        to: Lsn(5_050),
        reason: GapReason::SlotAhead,
    };
    rig.append_gap(&gap);
    rig.append(&whole(5_100).frames());
    rig.flush();
    rig
}

fn never() -> bool {
    false
}

/// Compresses every segment that can be.
pub(crate) fn pack(rig: &mut Rig) -> usize {
    let segments = rig.view.catalogue().segments();
    let packed = segments.iter().filter(|one| one.can_be_packed());
    packed
        .filter(|one| {
            let packed = rig.view.pack(one.number, &never).expect("packed");
            packed.is_some_and(|packed| {
                let replaced = rig.files.replace(&rig.view, packed);
                replaced.expect("replaced")
            })
        })
        .count()
}

fn ours() -> Vec<String> {
    rows_of((1..=51).map(|lsn| lsn * 100))
}

#[test]
fn compressed_segments_read_as_before_and_are_smaller() {
    let mut rig = log_on(&SimulatedDisk::new(1));
    let before = (read_all(&rig.view), rig.view.catalogue().segments());
    assert_eq!(before.0.rows, ours());
    let count = pack(&mut rig);
    assert!(count > 5, "{count}");
    let after = (read_all(&rig.view), rig.view.catalogue().segments());
    assert_eq!(after.0.rows, before.0.rows);
    assert_eq!(after.0.numbers, before.0.numbers);
    assert_eq!(after.0.gaps, before.0.gaps);
    assert_eq!(after.0.progress, before.0.progress);
    for (new, old) in after.1.iter().zip(&before.1) {
        let Some(packed_from) = new.packed_from else {
            assert_eq!(new, old);
            continue;
        };
        assert_eq!(packed_from, old.bytes);
        assert!(new.bytes < old.bytes * 3 / 4, "{new:?}");
        let same = Segment {
            packed_from: None,
            bytes: old.bytes,
            written: old.written,
            synced: old.synced,
            data_end: old.data_end,
            ..new.clone()
        };
        assert_eq!(same, *old);
    }
    assert_eq!(pack(&mut rig), 0, "once is enough");
    let verified = rig.view.verify().expect("verified");
    assert_eq!(verified.damaged, []);
    assert_eq!(verified.entries, 52);
}

#[test]
fn every_place_of_a_compressed_segment_is_found() {
    let mut rig = log_on(&SimulatedDisk::new(1));
    pack(&mut rig);
    for first in 0..50u64 {
        let story = read_on(&mut rig.view.reader_at(first));
        assert_eq!(story.numbers.first(), Some(&first));
        assert_eq!(story.rows, rows_of((first + 1..=51).map(|lsn| lsn * 100)));
        let story = read_on(&mut rig.view.reader_behind(commit(first * 100)));
        assert_eq!(story.rows, rows_of((first + 1..=51).map(|lsn| lsn * 100)));
        let time = walgate_core::PgMicros(first as i64 * 100 + 50);
        let found = rig.view.position_at(time).expect("read");
        assert_eq!(found, Some(at(first * 100 + 100, 0)));
    }
}

#[test]
fn a_reader_in_the_middle_of_a_segment_goes_on_in_the_new_file() {
    for stop in 0..50 {
        let mut rig = Rig::on(&SimulatedDisk::new(1), 0);
        let mut reader = rig.view.reader_at(0);
        for lsn in 1..=stop {
            rig.append(&whole(lsn * 100).frames());
        }
        rig.flush();
        let first = read_on(&mut reader).rows;
        for lsn in stop + 1..=60 {
            rig.append(&whole(lsn * 100).frames());
        }
        rig.flush();
        pack(&mut rig);
        let rest = read_on(&mut reader);
        assert_eq!(rest.damaged, []);
        assert_eq!(
            [first, rest.rows].concat(),
            rows_of((1..=60).map(|lsn| lsn * 100)),
            "after {stop}"
        );
    }
}

#[test]
fn who_only_looks_finds_out_that_a_file_was_replaced() {
    let disk = SimulatedDisk::new(1);
    let mut rig = log_on(&disk);
    let view = LogView::offline(Arc::new(disk.clone())).expect("opened");
    let mut reader = view.reader_at(0);
    pack(&mut rig);
    assert_eq!(read_on(&mut reader).rows, ours());
    for first in 0..50 {
        let view = LogView::offline(Arc::new(disk.clone())).expect("opened");
        let story = read_on(&mut view.reader_at(first));
        assert_eq!(story.numbers.first(), Some(&first));
        assert_eq!(story.damaged, []);
    }
}

#[test]
fn a_crash_leaves_the_old_file_or_the_new_and_no_copy() {
    for seed in 0..40 {
        let disk = SimulatedDisk::new(seed);
        let mut rig = log_on(&disk);
        let number = 2 + seed % 5;
        let packed = rig.view.pack(number, &never).expect("packed");
        let packed = packed.expect("it is smaller");
        if seed % 2 == 0 {
            assert!(rig.files.replace(&rig.view, packed).expect("replaced"));
        }
        if seed % 4 == 0 {
            rig.append(&whole(6_000).frames());
            rig.flush();
        }
        let after = disk.crash();
        let rig = Rig::on(&after, 0);
        let story = read_all(&rig.view);
        assert_eq!(story.damaged, [], "seed {seed}");
        assert_eq!(story.rows[..102], ours(), "seed {seed}");
        let names = after.list().expect("listed");
        assert!(
            names.iter().all(|name| !name.contains("copy")),
            "seed {seed}: {names:?}"
        );
    }
}

#[test]
fn a_disk_that_fails_leaves_the_segment_as_it_was() {
    let calls = [
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::Read,
        Call::Rename,
    ];
    for call in calls {
        let disk = SimulatedDisk::new(1);
        let mut rig = log_on(&disk);
        let before = disk.contents(&file(3));
        disk.fail(Fault {
            call,
            error: ErrorKind::StorageFull,
            when: When::Always,
        });
        let packed = rig.view.pack(3, &never);
        let replaced =
            packed.map(|packed| packed.map(|packed| rig.files.replace(&rig.view, packed)));
        assert!(
            !matches!(replaced, Ok(Some(Ok(true)))),
            "{call:?}: {replaced:?}"
        );
        disk.heal();
        assert_eq!(disk.contents(&file(3)), before);
        assert_eq!(read_all(&rig.view).rows, ours());
        assert!(rig.view.pack(3, &never).expect("packed").is_some());
    }
}

#[test]
fn what_was_deleted_meanwhile_does_not_come_back() {
    let disk = SimulatedDisk::new(1);
    let mut rig = log_on(&disk);
    let first = rig.segments()[0];
    let packed = rig
        .view
        .pack(first, &never)
        .expect("packed")
        .expect("smaller");
    rig.files.delete(&[first]).expect("deleted");
    assert!(!rig.files.replace(&rig.view, packed).expect("left"));
    let names = disk.list().expect("listed");
    assert!(
        !names.iter().any(|name| name.starts_with(&file(first))),
        "{names:?}"
    );
}

#[test]
fn it_can_be_stopped() {
    let disk = SimulatedDisk::new(1);
    let rig = log_on(&disk);
    let packed = rig.view.pack(2, &|| true).expect("stopped");
    assert!(packed.is_none());
    assert!(
        disk.list()
            .expect("listed")
            .iter()
            .all(|name| !name.ends_with(".copy"))
    );
}

#[test]
fn every_flipped_bit_of_a_compressed_segment_is_found() {
    let disk = SimulatedDisk::new(1);
    let mut rig = log_on(&disk);
    pack(&mut rig);
    let name = file(3);
    let len = disk.contents(&name).expect("a file").len() as u64;
    for offset in (0..len).step_by(2) {
        disk.flip(&name, offset, (offset % 8) as u8);
        let view = LogView::offline(Arc::new(disk.clone())).expect("opened");
        let verified = view.verify().expect("verified");
        assert!(!verified.damaged.is_empty(), "offset {offset}");
        let mut kept = read_all(&view).rows;
        kept.retain(|row| !ours().contains(row));
        assert_eq!(kept, Vec::<String>::new(), "nothing is made up");
        disk.flip(&name, offset, (offset % 8) as u8);
    }
}
