//! What of a folder counts after whatever has happened to it.

use std::io::ErrorKind;
use std::sync::Arc;

use walgate_core::{Lsn, PgMicros, Position, StopReason};
use walgate_journal::log::{Opened, SegmentState};
use walgate_journal::segment::{SegmentReader, Start};
use walgate_journal::storage::{Call, Fault, Folder, SimulatedDisk, Storage, When};

use crate::rig::{Rig, SLOT, checkpoint, facts, file, open, options, read_all, read_on, rows_of};
use crate::runs::{at, commit, whole};

/// A log of so many transactions, 100 apart, all synced.
fn log_of(count: u64) -> Rig {
    let mut rig = Rig::new();
    for lsn in 1..=count {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    rig
}

fn transactions(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    rows_of(range.map(|lsn| lsn * 100))
}

#[test]
fn an_empty_folder_is_an_empty_log() {
    let storage: Arc<dyn Storage> = Arc::new(SimulatedDisk::new(1));
    let opened = Opened::open(storage, options(), None).expect("opened");
    assert_eq!(opened.tail(), None);
    assert_eq!((opened.oldest(), opened.newest()), (None, None));
    assert_eq!(opened.next_entry(), 0);
}

#[test]
fn what_was_synced_survives_a_power_cut_and_goes_on() {
    let rig = log_of(20);
    let segments = rig.segments();
    let disk = rig.disk.crash();
    let opened = open(&disk, 500).expect("opened");
    assert_eq!(opened.tail(), Some(Lsn(2_008)));
    assert_eq!(opened.newest(), Some(commit(2_000)));
    assert_eq!(opened.oldest(), Some(Position::ZERO));
    assert_eq!(opened.next_entry(), 20);
    let mut rig = Rig::started(&disk, opened, 500);
    assert_eq!(rig.append(&whole(2_100).frames()), Some(20));
    rig.flush();
    let story = read_all(&rig.view);
    assert_eq!(story.rows, transactions(1..=21));
    assert_eq!(story.numbers, (0..21).collect::<Vec<_>>());
    assert_eq!(story.damaged, []);
    let last = segments.last().expect("a segment");
    assert_eq!(
        rig.segments(),
        [segments.clone(), vec![last + 1]].concat(),
        "a recovered segment is never appended to"
    );
}

#[test]
fn what_was_written_and_not_synced_survives_a_kill() {
    let mut rig = Rig::new();
    for lsn in 1..=20 {
        rig.append(&whole(lsn * 100).frames());
    }
    assert!(rig.write());
    let rig = Rig::on(&rig.disk.kill(), 0);
    assert_eq!(read_all(&rig.view).rows, transactions(1..=20));
    // It is durable as soon as it counts.
    let rig = Rig::on(&rig.disk.crash(), 0);
    assert_eq!(read_all(&rig.view).rows, transactions(1..=20));
}

#[test]
fn a_power_cut_leaves_a_prefix_that_holds_all_that_was_synced() {
    for seed in 0..200 {
        let mut rig = Rig::on(&SimulatedDisk::new(seed), 0);
        let synced = 3 + seed % 17;
        for lsn in 1..=30 {
            rig.append(&whole(lsn * 100).bytes(300).frames());
            assert!(rig.write());
            if lsn == synced {
                rig.flush();
            }
        }
        let disk = rig.disk.crash();
        let opened = open(&disk, synced * 100 + 8).expect("opened");
        assert_eq!(opened.damaged(), [], "seed {seed}");
        let tail = opened.tail().expect("a tail").0;
        assert!(tail >= synced * 100 + 8, "seed {seed}: {tail}");
        let mut rig = Rig::started(&disk, opened, 0);
        let kept = tail / 100;
        rig.append(&whole(kept * 100 + 100).frames());
        rig.flush();
        let story = read_all(&rig.view);
        assert_eq!(story.rows, transactions(1..=kept + 1), "seed {seed}");
        assert_eq!(story.damaged, [], "seed {seed}");
        // And once more, without anything new.
        let rig = Rig::on(&rig.disk.crash(), 0);
        assert_eq!(
            read_all(&rig.view).rows,
            transactions(1..=kept + 1),
            "seed {seed}"
        );
    }
}

#[test]
fn a_transaction_that_is_cut_at_the_tail_does_not_count_and_comes_again() {
    let mut rig = log_of(3);
    rig.append(&whole(400).cut(2..4).frames());
    rig.flush();
    let opened = open(&rig.disk.crash(), 0).expect("opened");
    assert_eq!(
        opened.tail(),
        Some(Lsn(308)),
        "the end of the last whole one"
    );
    assert_eq!(opened.newest(), Some(at(400, 3)));
    let disk = rig.disk.crash();
    let mut rig = Rig::on(&disk, 0);
    rig.append(&whole(400).frames());
    rig.flush();
    let story = read_all(&rig.view);
    let twice = [transactions(1..=3), rows_of([400, 400])].concat();
    assert_eq!(story.rows, twice);
    assert_eq!(story.damaged, []);
}

#[test]
fn bad_bytes_above_what_was_confirmed_are_cut_with_all_that_follows() {
    let rig = log_of(30);
    let segments = rig.segments();
    // In the third segment, behind its first transaction.
    let third = rig.view.catalogue().segments()[2].clone();
    assert!(rig.disk.flip(&file(third.number), third.data_end - 10, 3));
    let confirmed = third.before.lsn().0 + 8;
    let disk = rig.disk.crash();
    let opened = open(&disk, confirmed).expect("opened");
    assert_eq!(opened.damaged(), []);
    let tail = opened.tail().expect("a tail").0;
    let lost = third.highest.lsn().0;
    assert_eq!(tail, lost - 100 + 8);
    let mut rig = Rig::started(&disk, opened, confirmed);
    assert_eq!(rig.segments()[..3], segments[..3]);
    assert!(rig.segments()[3] > *segments.last().expect("a segment"));
    rig.append(&whole(lost).frames());
    rig.flush();
    let story = read_all(&rig.view);
    assert_eq!(story.rows, transactions(1..=lost / 100));
    assert_eq!(story.damaged, []);
    let segments = rig.view.catalogue().segments();
    assert_eq!(
        segments[2].state,
        SegmentState::Sealed,
        "the survivor is sealed"
    );
}

#[test]
fn bad_bytes_at_or_below_what_was_confirmed_are_kept_and_named() {
    let rig = log_of(30);
    let third = rig.view.catalogue().segments()[2].clone();
    let name = file(third.number);
    assert!(rig.disk.flip(&name, third.data_end - 10, 3));
    let before = rig.disk.contents(&name);
    let lost = third.highest.lsn().0;
    // All of it is confirmed: it is not even read.
    let rig = Rig::on(&rig.disk.crash(), 3_008);
    assert_eq!(rig.disk.contents(&name), before);
    let story = read_all(&rig.view);
    let kept = (1..=30).map(|n| n * 100).filter(|lsn| *lsn != lost);
    assert_eq!(story.rows, rows_of(kept));
    let [damage] = &story.damaged[..] else {
        panic!("{:?}", story.damaged);
    };
    assert_eq!(damage.segment, third.number);
    assert!(damage.offset < third.data_end && damage.offset > 0);
    assert_eq!(damage.from, commit(lost - 100));
    assert_eq!(damage.to, Some(commit(lost)), "the next segment says so");
    assert_eq!(damage.file(), name);
    // When some of what follows in the segment is not confirmed, it is read, and named at once:
    // here it is the first transaction, and all but the last are confirmed.
    let rig = log_of(30);
    assert!(rig.disk.flip(&name, 400, 3));
    let opened = open(&rig.disk.crash(), lost - 100 + 8).expect("opened");
    let [damage] = opened.damaged() else {
        panic!("{:?}", opened.damaged());
    };
    assert_eq!(damage.segment, third.number);
    assert_eq!(damage.from, third.before);
    assert_eq!(opened.tail(), Some(Lsn(3_008)), "what follows counts");
    let failure = damage.failure(rig.disk.path());
    assert!(failure.message.contains(&name), "{failure}");
    assert!(failure.hint.is_some());
}

#[test]
fn what_lies_behind_damage_that_may_not_be_confirmed_comes_again() {
    let rig = log_of(30);
    let third = rig.view.catalogue().segments()[2].clone();
    assert!(rig.disk.flip(&file(third.number), 400, 3));
    // The damaged transaction is the last that was confirmed, as far as anybody knows.
    let confirmed = third.before.lsn().0 + 108;
    let disk = rig.disk.crash();
    let opened = open(&disk, confirmed).expect("opened");
    assert_eq!(opened.damaged().len(), 1);
    assert_eq!(opened.tail(), Some(Lsn(third.before.lsn().0 + 8)));
    let mut rig = Rig::started(&disk, opened, confirmed);
    let next = third.before.lsn().0 + 200;
    rig.append(&whole(next).frames());
    rig.flush();
    let story = read_all(&rig.view);
    let kept = (1..=third.before.lsn().0 / 100).map(|n| n * 100);
    assert_eq!(story.rows, rows_of(kept.chain([next])));
    let [damage] = &story.damaged[..] else {
        panic!("{:?}", story.damaged);
    };
    assert_eq!(damage.from, third.before);
    assert_eq!(damage.to, Some(at(confirmed, 0)));
}

#[test]
fn damage_inside_a_segment_loses_what_it_hits_and_no_more() {
    let rig = log_of(30);
    let third = rig.view.catalogue().segments()[2].clone();
    // The middle of the segment: one of its transactions.
    assert!(rig.disk.flip(&file(third.number), third.data_end / 2, 0));
    let story = read_all(&rig.view);
    assert_eq!(story.rows.len(), 58);
    let [damage] = &story.damaged[..] else {
        panic!("{:?}", story.damaged);
    };
    let lost = damage.from.lsn().0 + 100;
    assert_eq!(
        damage.to,
        Some(at(lost + 99, 0)),
        "below the next transaction"
    );
    assert_eq!(damage.whole_from(), Some(Lsn(lost + 99)));
    assert!(!story.rows.contains(&format!("{lost}.2")));
    assert_eq!(story.numbers.len(), 29);
    assert!(!story.numbers.contains(&(lost / 100 - 1)));
}

#[test]
fn a_damaged_length_loses_the_rest_up_to_the_next_point_of_the_index() {
    let mut rig = Rig::new();
    let mut options = options();
    options.segment_bytes = 4 << 20;
    let storage: Arc<dyn Storage> = Arc::new(rig.disk.clone());
    let opened = Opened::open(storage, options, Some(&checkpoint(0))).expect("opened");
    rig = Rig::started(&rig.disk, opened, 0);
    for lsn in 1..=64 {
        rig.append(&whole(lsn * 100).bytes(20_000).frames());
    }
    rig.flush();
    let bytes = rig.disk.contents(&file(1)).expect("a file");
    let second = (40_000..).find(|at| is_run(&bytes, *at)).expect("a run");
    let damage = [0xff, 0xff, 0xff, 0x7f];
    assert!(rig.disk.overwrite(&file(1), second as u64, &damage));
    // The index of an active segment serves as well as that of a sealed one.
    for seal in [false, true] {
        if seal {
            rig.appender.seal(PgMicros(0)).expect("sealed");
            rig.flush();
        }
        let story = read_all(&rig.view);
        let [damage] = &story.damaged[..] else {
            panic!("{:?}", story.damaged);
        };
        assert_eq!((damage.offset, damage.from), (second as u64, commit(100)));
        let to = damage.to.expect("more follows").lsn().0;
        assert!((600..=800).contains(&to), "256 KiB behind: {to}");
        let kept = [1].into_iter().chain(to / 100 + 1..=64);
        assert_eq!(story.rows, rows_of(kept.map(|n| n * 100)));
    }
}

/// Whether a run of about 40 kB begins here: its length and its kind.
fn is_run(bytes: &[u8], at: usize) -> bool {
    let len = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    (40_000..41_000).contains(&len) && bytes[at + 8] == 3 && bytes[at + 9] == 0
}

#[test]
fn a_missing_segment_is_damage_when_it_was_confirmed_and_a_torn_tail_when_not() {
    for confirmed in [3_008, 0] {
        let rig = log_of(30);
        let third = rig.view.catalogue().segments()[2].clone();
        assert!(rig.disk.lose(&file(third.number)));
        let disk = rig.disk.crash();
        let opened = open(&disk, confirmed).expect("opened");
        let rig = Rig::started(&disk, opened, confirmed);
        let story = read_all(&rig.view);
        let before = (1..=30)
            .map(|n| n * 100)
            .filter(|lsn| at(*lsn, 2) < third.before);
        if confirmed == 0 {
            assert_eq!(story.rows, rows_of(before));
            assert_eq!(story.damaged, []);
            continue;
        }
        let behind = (1..=30)
            .map(|n| n * 100)
            .filter(|lsn| at(*lsn, 2) > third.highest);
        assert_eq!(story.rows, rows_of(before.chain(behind)));
        let [damage] = &story.damaged[..] else {
            panic!("{:?}", story.damaged);
        };
        assert_eq!(damage.from, third.before);
        assert_eq!(damage.to, Some(third.highest));
    }
}

#[test]
fn a_damaged_header_loses_nothing_where_the_index_is_sound() {
    let rig = log_of(30);
    assert!(rig.disk.flip(&file(3), 20, 1));
    for confirmed in [3_008, 2_000] {
        let rig = Rig::on(&rig.disk.crash(), confirmed);
        let story = read_all(&rig.view);
        assert_eq!(story.rows, transactions(1..=30));
        assert_eq!(story.damaged, []);
    }
}

/// A power cut can write the end of a segment and not its first page.
#[test]
fn a_torn_header_above_what_was_confirmed_is_cut_though_the_index_is_sound() {
    let disk = SimulatedDisk::new(1);
    let opened = open(&disk, 50).expect("opened");
    let mut rig = Rig::started(&disk, opened, 50);
    for lsn in 1..=30 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    assert!(rig.disk.overwrite(&file(1), 4, &[0; 60]));
    let opened = open(&rig.disk.crash(), 50).expect("opened");
    assert_eq!((opened.newest(), opened.damaged()), (None, &[][..]));
}

#[test]
fn a_segment_whose_header_and_index_are_damaged_is_a_gap() {
    let rig = log_of(30);
    let third = rig.view.catalogue().segments()[2].clone();
    assert!(rig.disk.flip(&file(3), 20, 1));
    assert!(rig.disk.flip(&file(3), third.data_end + 20, 1));
    let rig = Rig::on(&rig.disk.crash(), 3_008);
    let story = read_all(&rig.view);
    let inside = |lsn: &u64| at(*lsn, 2) < third.before || at(*lsn, 2) > third.highest;
    assert_eq!(
        story.rows,
        rows_of((1..=30).map(|n| n * 100).filter(inside))
    );
    let [damage] = &story.damaged[..] else {
        panic!("{:?}", story.damaged);
    };
    assert_eq!((damage.segment, damage.offset), (3, 8));
    assert_eq!(
        (damage.from, damage.to),
        (third.before, Some(third.highest))
    );
}

#[test]
fn a_damaged_index_is_only_slower() {
    let rig = log_of(30);
    let third = rig.view.catalogue().segments()[2].clone();
    assert!(rig.disk.flip(&file(3), third.data_end + 20, 1));
    for confirmed in [3_008, 0] {
        let disk = rig.disk.crash();
        let opened = open(&disk, confirmed).expect("opened");
        let rig = Rig::started(&disk, opened, confirmed);
        if confirmed == 0 {
            // It was not confirmed: its end is a torn tail, and what follows with it.
            let kept = third.highest.lsn().0 / 100;
            assert_eq!(read_all(&rig.view).rows, transactions(1..=kept));
            continue;
        }
        for lsn in 1..30 {
            let story = read_on(&mut rig.view.reader_behind(commit(lsn * 100)));
            assert_eq!(story.rows, transactions(lsn + 1..=30));
        }
    }
}

#[test]
fn what_lies_between_the_tail_and_a_later_start_is_damage() {
    // confirm = "sinks": what was confirmed need not have been synced here.
    let mut rig = log_of(5);
    rig.append(&whole(600).frames());
    let mut rig = Rig::on(&rig.disk.crash(), 1_008);
    assert_eq!(rig.files.synced().whole, at(1_008, 0));
    rig.append(&whole(1_100).frames());
    rig.flush();
    let story = read_all(&rig.view);
    assert_eq!(story.rows, rows_of([100, 200, 300, 400, 500, 1_100]));
    let [damage] = &story.damaged[..] else {
        panic!("{:?}", story.damaged);
    };
    assert_eq!((damage.from, damage.to), (commit(500), Some(at(1_008, 0))));
    // Whoever has it is not disturbed.
    let story = read_on(&mut rig.view.reader_behind(at(1_008, 0)));
    assert_eq!(story.rows, rows_of([1_100]));
    assert_eq!(story.damaged, []);
    let rig = Rig::on(&rig.disk.crash(), 1_108);
    assert_eq!(read_all(&rig.view).damaged.len(), 1);
}

#[test]
fn after_a_failed_fsync_everything_above_what_was_confirmed_is_discarded() {
    for confirmed in [508, 1_508, 3_008] {
        let mut rig = log_of(30);
        rig.append(&whole(3_100).frames());
        assert!(rig.write());
        rig.disk.fail(Fault {
            call: Call::Sync,
            error: ErrorKind::Other,
            when: When::Next,
        });
        let failure = rig.files.sync().expect_err("failed");
        assert_eq!(failure.reason, StopReason::State);
        assert_eq!(rig.files.sync(), Err(failure), "for good");
        assert!(!rig.files.write_out(rig.now));
        assert!(rig.disk.contents("fsync-failed").is_some());
        let disk = rig.disk.kill();
        let opened = open(&disk, confirmed).expect("opened");
        assert_eq!(opened.tail(), Some(Lsn(confirmed)));
        assert!(disk.contents("fsync-failed").is_none());
        let mut rig = Rig::started(&disk, opened, confirmed);
        let kept = confirmed / 100;
        rig.append(&whole(kept * 100 + 100).frames());
        rig.flush();
        let rig = Rig::on(&rig.disk.crash(), confirmed);
        let story = read_all(&rig.view);
        assert_eq!(story.rows, transactions(1..=kept + 1));
        assert_eq!(story.damaged, []);
    }
}

#[test]
fn recovery_that_is_interrupted_anywhere_ends_the_same() {
    for seed in 0..40 {
        for call in [
            Call::Sync,
            Call::SyncFolder,
            Call::Remove,
            Call::Truncate,
            Call::Write,
        ] {
            let mut rig = Rig::on(&SimulatedDisk::new(seed), 0);
            for lsn in 1..=30 {
                rig.append(&whole(lsn * 100).frames());
            }
            rig.flush();
            assert!(rig.disk.flip(&file(3), 700, 3));
            rig.disk.fail(Fault {
                call,
                error: ErrorKind::Other,
                when: When::After((seed % 5) as u32),
            });
            let first = open(&rig.disk, 208);
            rig.disk.heal();
            let disk = rig.disk.crash();
            let opened = open(&disk, 208).expect("opened");
            let tail = opened.tail().expect("a tail").0;
            let rig = Rig::started(&disk, opened, 208);
            let story = read_all(&rig.view);
            assert_eq!(story.damaged, [], "seed {seed}, {call:?}");
            assert_eq!(
                story.rows,
                transactions(1..=tail / 100),
                "seed {seed}, {call:?}"
            );
            assert!(tail >= 208, "seed {seed}, {call:?}, {first:?}");
        }
    }
}

/// A log that holds a part of one transaction alone, larger than all segments: its begin is gone.
fn middle_of_a_large_transaction() -> Rig {
    let mut rig = Rig::on(&SimulatedDisk::new(1), 1_008);
    rig.append(&whole(2_000).bytes(500).cut(2..4).frames());
    for part in 2..20 {
        rig.append(
            &whole(2_000)
                .bytes(500)
                .rest(2 * part..2 * part + 2)
                .part()
                .frames(),
        );
    }
    rig.flush();
    let segments = rig.segments();
    rig.files.delete(&segments[..2]).expect("deleted");
    rig
}

#[test]
fn a_torn_tail_inside_a_transaction_is_none_of_what_was_confirmed() {
    let rig = middle_of_a_large_transaction();
    let last = rig.view.catalogue().segments().last().expect("one").clone();
    assert!(rig.disk.cut(&file(last.number), last.bytes - 10));
    let disk = rig.disk.crash();
    let opened = open(&disk, 1_008).expect("opened");
    assert_eq!(opened.damaged(), []);
    assert_eq!(opened.tail(), None, "nothing whole is in it");
    let rig = Rig::started(&disk, opened, 1_008);
    assert_eq!(read_all(&rig.view).damaged, []);
}

#[test]
fn a_failed_fsync_inside_a_transaction_discards_all_of_it() {
    let mut rig = middle_of_a_large_transaction();
    rig.append(&whole(2_000).rest(50..52).part().frames());
    assert!(rig.write());
    rig.disk.fail(Fault {
        call: Call::Sync,
        error: ErrorKind::Other,
        when: When::Next,
    });
    rig.files.sync().expect_err("failed");
    let last = *rig.segments().last().expect("one");
    let first_entry = rig.view.catalogue().entries().start;
    let disk = rig.disk.kill();
    let opened = open(&disk, 1_008).expect("opened");
    assert_eq!((opened.tail(), opened.oldest()), (None, None));
    assert_eq!(opened.next_entry(), first_entry, "numbers go on");
    let mut rig = Rig::started(&disk, opened, 1_008);
    assert_eq!(rig.segments(), [last + 1]);
    rig.append(&whole(2_000).frames());
    rig.flush();
    // Its first part was deleted once: for whoever has nothing of it, it is there again.
    let story = read_on(&mut rig.view.reader_behind(at(1_008, 0)));
    assert_eq!((story.rows, story.gone), (rows_of([2_000]), vec![]));
}

#[test]
fn a_log_of_which_nothing_is_left_goes_on_with_its_numbers() {
    let mut rig = Rig::on(&SimulatedDisk::new(1), 1_008);
    rig.append(&whole(1_100).frames());
    rig.flush();
    let segment = rig.view.catalogue().segments()[0].clone();
    let disk = rig.disk.crash();
    assert!(disk.cut(&file(1), segment.bytes - 100));
    let mut rig = Rig::on(&disk, 1_008);
    assert_eq!(rig.segments(), [1, 2]);
    rig.append(&whole(1_100).frames());
    rig.append(&whole(1_200).frames());
    assert!(rig.write());
    let rig = Rig::on(&rig.disk.kill(), 1_008);
    let story = read_all(&rig.view);
    assert_eq!(story.rows, rows_of([1_100, 1_200]));
    assert_eq!(story.numbers, [0, 1]);
    assert_eq!(story.damaged, []);
}

#[test]
fn segments_without_anything_are_deleted() {
    let rig = log_of(3);
    let segments = rig.segments();
    let mut disk = rig.disk.crash();
    for _ in 0..5 {
        let mut rig = Rig::on(&disk, 0);
        rig.flush();
        disk = rig.disk.crash();
    }
    let opened = open(&disk, 0).expect("opened");
    assert_eq!(opened.view().catalogue().len(), segments.len());
    assert_eq!(opened.tail(), Some(Lsn(308)));
}

#[test]
fn a_disk_that_is_full_can_be_opened() {
    let mut rig = log_of(30);
    rig.append(&whole(3_100).frames());
    assert!(rig.write());
    let disk = rig.disk.kill();
    disk.set_capacity(disk.used());
    let rig = Rig::on(&disk, 0);
    assert_eq!(read_all(&rig.view).rows, transactions(1..=31));
}

#[test]
fn a_folder_of_another_stream_is_refused_and_not_touched() {
    let mut rig = log_of(3);
    rig.append(&whole(400).cut(2..3).frames());
    assert!(rig.write());
    let disk = rig.disk.kill();
    let writes = disk.count(Call::Write);
    let mut of_slot = checkpoint(0);
    of_slot.source.slot = "other".to_owned();
    let mut of_system = checkpoint(0);
    of_system.source.system_id = 43;
    for (checkpoint, says) in [
        (Some(&of_slot), "slot \"walgate\", not of \"other\""),
        (Some(&of_system), "system 42, not of 43"),
        (None, "checkpoint is missing"),
    ] {
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let failure = Opened::open(storage, options(), checkpoint).expect_err("refused");
        assert!(failure.message.contains(says), "{failure}");
        assert_eq!(failure.reason, StopReason::State);
        assert!(failure.hint.is_some());
    }
    assert_eq!(disk.count(Call::Write), writes);
    assert_eq!(disk.count(Call::Remove) + disk.count(Call::Truncate), 0);
}

#[test]
fn another_system_needs_a_higher_epoch() {
    let rig = log_of(3);
    let disk = rig.disk.crash();
    let start = |epoch, system_id, slot: &str| {
        let opened = open(&disk, 308).expect("opened");
        let mut facts = facts();
        (facts.epoch, facts.system_id, facts.slot) = (epoch, system_id, slot.to_owned());
        opened.start(facts, Position::new(epoch, Lsn(10), 0), PgMicros(0))
    };
    assert!(start(0, 43, SLOT).is_err());
    assert!(start(0, 42, "other").is_err());
    let (mut appender, mut files) = start(1, 43, SLOT).expect("started");
    let mut frames = whole(20).frames();
    frames.epoch = 1;
    let entry = appender.append(&frames, PgMicros(0)).expect("appended");
    assert_eq!(entry, Some(3));
    files.queue(appender.take_pending());
    assert!(files.write_out(std::time::Instant::now()));
    let synced = files.sync().expect("synced");
    assert_eq!(synced.whole, Position::new(1, Lsn(28), 0));
    let story = read_all(appender.view());
    assert_eq!(story.rows, rows_of([100, 200, 300, 20]));
    assert_eq!(story.damaged, [], "another epoch begins elsewhere");
    // The checkpoint may still be of the old epoch, or already of the new.
    for epoch in [0, 1] {
        let mut checkpoint = checkpoint(28);
        checkpoint.source.epoch = epoch;
        checkpoint.source.system_id = 42 + u64::from(epoch);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let opened = Opened::open(storage, options(), Some(&checkpoint)).expect("opened");
        assert_eq!(opened.tail(), Some(Lsn(28)));
    }
    let opened = open(&disk, 308).expect("opened");
    let failure = opened
        .start(facts(), at(308, 0), PgMicros(0))
        .expect_err("refused");
    assert!(failure.message.contains("epoch 1"), "{failure}");
}

#[test]
fn a_later_version_is_refused_and_not_touched() {
    let rig = log_of(30);
    let contents = rig.disk.contents(&file(3)).expect("a file");
    // A record kind that is not known, with a checksum that holds, is what a later version writes.
    let mut record = vec![4, 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 0, 1, 2, 3, 4];
    let first = 8 + 12 + u32::from_le_bytes([contents[8], contents[9], contents[10], contents[11]]);
    let mut place = Vec::new();
    place.extend_from_slice(&3_u64.to_le_bytes());
    place.extend_from_slice(&1_u32.to_le_bytes());
    place.extend_from_slice(&record[8..]);
    record[4..8].copy_from_slice(&crc32c::crc32c(&place).to_le_bytes());
    rig.disk.overwrite(&file(3), u64::from(first), &record);
    let disk = rig.disk.crash();
    let failure = open(&disk, 0).expect_err("refused");
    assert!(failure.message.contains("later version"), "{failure}");
    assert_eq!(disk.count(Call::Remove) + disk.count(Call::Truncate), 0);
}

#[test]
fn a_large_log_starts_with_headers_and_trailers_alone() {
    const SEGMENTS: u64 = 160;
    let above = tempfile::tempdir().expect("a directory");
    {
        let storage: Arc<dyn Storage> = Arc::new(Folder::take(above.path()).expect("taken"));
        let opened = Opened::open(storage, options(), Some(&checkpoint(0))).expect("opened");
        let (mut appender, mut files) = opened
            .start(facts(), Position::ZERO, PgMicros(0))
            .expect("started");
        let mut lsn = 0;
        while appender.segment() <= SEGMENTS {
            lsn += 100;
            appender
                .append(&whole(lsn).frames(), PgMicros(0))
                .expect("appended");
        }
        appender.seal(PgMicros(0)).expect("sealed");
        files.queue(appender.take_pending());
        while !files.write_out(std::time::Instant::now()) {
            files.sync().expect("synced");
        }
        files.sync().expect("synced");
    }
    // The same on a real folder and where reads are counted.
    let storage: Arc<dyn Storage> = Arc::new(Folder::take(above.path()).expect("taken"));
    let names = storage.list().expect("listed");
    assert_eq!(names.len() as u64, SEGMENTS + 1);
    let disk = SimulatedDisk::new(1);
    for name in &names {
        let bytes = std::fs::read(above.path().join(name)).expect("read");
        disk.create(name)
            .expect("created")
            .write_at(&bytes, 0)
            .expect("written");
    }
    for storage in [storage, Arc::new(disk.clone())] {
        let opened = Opened::open(storage, options(), Some(&checkpoint(1 << 40))).expect("opened");
        assert_eq!(opened.view().catalogue().len() as u64, SEGMENTS + 1);
        assert!(opened.tail().is_some());
    }
    // A header and a trailer of each, and the index of the last.
    assert!(
        disk.count(Call::Read) <= 2 * (SEGMENTS + 1) + 2,
        "{}",
        disk.count(Call::Read)
    );
    assert_eq!(
        disk.count(Call::Write),
        SEGMENTS + 1,
        "nothing was repaired"
    );
}

/// All of it comes again, and is there after a crash, whatever becomes of the segment `oldest`.
fn comes_again_and_is_kept(mut rig: Rig, oldest: u64) {
    assert_eq!(rig.view.catalogue().oldest(), at(508, 0));
    for lsn in 6..=30 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    // Whether it is there any more is not what this is about.
    let _is_there = rig.disk.flip(&file(oldest), 18, 2);
    let rig = Rig::on(&rig.disk.crash(), 2_008);
    assert_eq!(read_all(&rig.view).rows, transactions(6..=30));
}

/// Sinks had what was deleted, the slot had not yet heard of it: all of it comes again.
#[test]
fn what_comes_again_behind_deleted_segments_is_kept_when_the_oldest_is_damaged() {
    let mut rig = log_of(30);
    let segments = rig.segments();
    let (last, older) = segments.split_last().expect("segments");
    rig.files.delete(older).expect("deleted");
    let header = rig.disk.contents(&file(*last)).expect("there");
    let header = SegmentReader::open(*last, &mut header.into());
    let Ok(Start::Segment(_, reader)) = header else {
        panic!("{header:?}");
    };
    rig.disk.cut(&file(*last), reader.offset() + 5);
    let rig = Rig::on(&rig.disk.crash(), 508);
    comes_again_and_is_kept(rig, *last);
}

/// The same where nothing is torn: the process was killed before it had appended anything.
#[test]
fn what_comes_again_behind_a_segment_without_anything_is_kept_too() {
    let mut rig = Rig::on(&log_of(30).disk.crash(), 508);
    rig.flush();
    let segments = rig.segments();
    let (last, older) = segments.split_last().expect("segments");
    rig.files.delete(older).expect("deleted");
    let rig = Rig::on(&rig.disk.kill(), 508);
    comes_again_and_is_kept(rig, *last);
}
