//! The simulation does what it says, over many seeds.
#![expect(clippy::expect_used, reason = "a test that can't go on says so")]

use std::collections::BTreeSet;

use super::*;

const PAGE: usize = 4096;
const SEEDS: u64 = 300;

fn page(byte: u8) -> Vec<u8> {
    vec![byte; PAGE]
}

/// A synced file of three pages of `1`, whose first two were then overwritten with `2`.
fn overwritten(seed: u64) -> (SimulatedDisk, Arc<dyn StoredFile>) {
    let disk = SimulatedDisk::new(seed);
    let file = disk.create("x").expect("created");
    file.write_at(&vec![1; 3 * PAGE], 0).expect("written");
    file.sync_data().expect("synced");
    disk.sync_folder().expect("synced");
    file.write_at(&vec![2; 2 * PAGE], 0).expect("written");
    (disk, file)
}

fn fault(call: Call, when: When) -> Fault {
    let error = ErrorKind::Other;
    Fault { call, error, when }
}

#[test]
fn what_is_synced_survives_every_crash() {
    for seed in 0..SEEDS {
        let (disk, file) = overwritten(seed);
        file.sync_data().expect("synced");
        let disk = disk.crash();
        let expected = [page(2), page(2), page(1)].concat();
        assert_eq!(disk.contents("x"), Some(expected), "seed {seed}");
    }
}

#[test]
fn each_unsynced_page_is_old_new_or_torn() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, _file) = overwritten(seed);
        let left = disk.crash().contents("x").expect("there");
        assert_eq!(left.len(), 3 * PAGE);
        assert!(
            left.get(2 * PAGE..)
                .expect("a page")
                .iter()
                .all(|b| *b == 1)
        );
        let kinds = left.chunks(PAGE).take(2).map(|page| {
            let new = page.iter().filter(|byte| **byte == 2).count();
            match new {
                0 => "old",
                PAGE => "new",
                _ => "torn",
            }
        });
        seen.insert(kinds.collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[test]
fn an_unsynced_length_is_old_new_or_between_and_holes_are_zeros() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create("x").expect("created");
        file.write_at(&page(1), 0).expect("written");
        file.sync_data().expect("synced");
        disk.sync_folder().expect("synced");
        file.write_at(&page(2), PAGE as u64).expect("written");
        let left = disk.crash().contents("x").expect("there");
        assert!((PAGE..=2 * PAGE).contains(&left.len()), "seed {seed}");
        let behind = left.get(PAGE..).expect("behind");
        assert!(behind.iter().all(|byte| [0, 2].contains(byte)));
        seen.insert(match behind.len() {
            0 => "old",
            PAGE if behind.contains(&2) => "new",
            PAGE => "new without its bytes",
            _ => "between",
        });
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_cut_that_is_not_synced_may_come_undone() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (disk, file) = overwritten(seed);
        file.truncate(10).expect("cut");
        assert_eq!(disk.contents("x").map(|bytes| bytes.len()), Some(10));
        let left = disk.crash().contents("x").expect("there");
        seen.insert(match left.len() {
            10 => "cut",
            len if len == 3 * PAGE => "whole",
            _ => "between",
        });
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn names_are_durable_after_the_folder_is_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        for name in ["kept", "removed", "renamed"] {
            disk.create(name).expect("created");
        }
        disk.sync_folder().expect("synced");
        disk.create("made")
            .expect("created")
            .sync_data()
            .expect("synced");
        disk.remove("removed").expect("removed");
        disk.rename("renamed", "to").expect("renamed");
        assert_eq!(disk.list().expect("listed"), ["kept", "made", "to"]);
        let left = disk.crash().list().expect("listed");
        assert!(left.contains(&"kept".to_owned()), "seed {seed}");
        let ends = ["renamed", "to"].map(|name| left.contains(&name.to_owned()));
        assert_eq!(
            ends.iter().filter(|there| **there).count(),
            1,
            "one of both"
        );
        seen.insert(left);
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn a_kill_loses_nothing_but_ends_what_was_open() {
    let (disk, file) = overwritten(1);
    let again = disk.kill();
    let expected = [page(2), page(2), page(1)].concat();
    assert_eq!(again.contents("x"), Some(expected));
    assert!(file.write_at(b"late", 0).is_err());
    assert!(disk.create("late").is_err());
    assert!(again.open("x").is_ok());
}

#[test]
fn a_failed_sync_is_followed_by_one_that_lies() {
    let mut lost = 0;
    let mut evicted = 0;
    for seed in 0..SEEDS {
        let (disk, file) = overwritten(seed);
        disk.fail(fault(Call::Sync, When::Next));
        assert!(file.sync_data().is_err());
        let seen = disk.contents("x").expect("there");
        evicted += usize::from(seen != [page(2), page(2), page(1)].concat());
        file.sync_data().expect("it says so");
        let left = disk.crash().contents("x").expect("there");
        lost += usize::from(left.get(..2 * PAGE) != Some(&vec![2; 2 * PAGE][..]));
    }
    assert!(lost > 100 && evicted > 50, "{lost} {evicted}");
}

#[test]
fn a_failed_sync_of_the_folder_proves_nothing_and_the_next_does() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        disk.create("x").expect("created");
        disk.fail(fault(Call::SyncFolder, When::Next));
        assert!(disk.sync_folder().is_err());
        if seed % 2 == 0 {
            lost += usize::from(disk.crash().list().expect("listed").is_empty());
            continue;
        }
        disk.sync_folder().expect("synced");
        assert_eq!(disk.crash().list().expect("listed"), ["x"]);
    }
    assert!(lost > 50, "{lost}");
}

#[test]
fn a_full_disk_takes_what_fits_and_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::new(1);
    disk.set_capacity(2 * PAGE as u64);
    let file = disk.create("x").expect("created");
    let error = file.write_at(&vec![1; 3 * PAGE], 0).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(file.len().expect("a length"), 2 * PAGE as u64);
    assert_eq!(disk.space().expect("said").available, 0);
    file.write_at(&page(2), 0)
        .expect("what is there can be overwritten");
    let other = disk.create("y").expect("created");
    assert!(other.write_at(b"1", 0).is_err());
    disk.remove("x").expect("removed");
    other.write_at(b"1", 0).expect("written");
    disk.set_capacity(4 * PAGE as u64);
    let space = Space {
        total: 4 * PAGE as u64,
        available: 3 * PAGE as u64,
    };
    assert_eq!(disk.space().expect("said"), space);
}

#[test]
fn faults_come_as_the_script_says() {
    let disk = SimulatedDisk::new(1);
    let file = disk.create("x").expect("created");
    disk.fail(fault(Call::Write, When::After(2)));
    let results = [(); 4].map(|()| file.write_at(b"abc", 0).is_ok());
    assert_eq!(results, [true, true, false, true]);
    disk.fail(fault(Call::Read, When::Always));
    assert!((0..3).all(|_| file.read_at(&mut [0], 0).is_err()));
    disk.heal();
    assert!(file.read_at(&mut [0], 0).is_ok());
    disk.fail(fault(Call::List, When::OneIn(3)));
    let failed = (0..300).filter(|_| disk.list().is_err()).count();
    assert!((60..140).contains(&failed), "{failed}");
    assert_eq!(disk.count(Call::Write), 4);
}

#[test]
fn a_read_only_file_system_changes_nothing_and_loses_what_was_dirty() {
    let (disk, file) = overwritten(1);
    disk.set_read_only(true);
    let refused = [
        file.write_at(b"1", 0).err(),
        file.truncate(0).err(),
        disk.create("y").err(),
        disk.rename("x", "y").err(),
        disk.remove("x").err(),
        file.sync_data().err(),
    ];
    for error in refused {
        assert_eq!(
            error.expect("refused").kind(),
            ErrorKind::ReadOnlyFilesystem
        );
    }
    assert!(file.read_at(&mut [0], 0).is_ok());
    disk.set_read_only(false);
    file.write_at(b"1", 0).expect("written");
}

#[test]
fn in_a_folder_that_vanished_nothing_becomes_durable() {
    let (disk, file) = overwritten(1);
    disk.set_vanished(true);
    assert!(disk.list().is_err() && disk.create("y").is_err() && disk.open("x").is_err());
    assert!(disk.sync_folder().is_err() && disk.space().is_err());
    file.write_at(b"1", 0)
        .expect("the open file is still there");
    assert!(file.sync_data().is_err());
    disk.set_vanished(false);
    assert_eq!(disk.list().expect("listed"), ["x"]);
}

#[test]
fn a_removed_file_can_be_read_but_not_be_made_durable() {
    let (disk, file) = overwritten(1);
    disk.remove("x").expect("removed");
    assert_eq!(file.read_at(&mut [0; 4], 0).expect("read"), 4);
    assert!(file.sync_data().is_err());
}

#[test]
fn rot_is_durable_and_seen_at_once() {
    let (disk, file) = overwritten(1);
    file.sync_data().expect("synced");
    assert!(disk.flip("x", 5, 0) && !disk.flip("x", 1 << 40, 0) && !disk.flip("y", 0, 0));
    assert!(disk.overwrite("x", 7, b"9") && disk.cut("x", 8));
    assert_eq!(
        disk.contents("x"),
        Some(b"\x02\x02\x02\x02\x02\x03\x029".to_vec())
    );
    assert_eq!(disk.crash().contents("x"), disk.contents("x"));
    assert!(disk.lose("x"));
    assert_eq!(disk.crash().contents("x"), None);
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    for seed in 0..20 {
        let [one, two] = [(); 2].map(|()| overwritten(seed).0.crash().contents("x"));
        assert_eq!(one, two);
    }
}
