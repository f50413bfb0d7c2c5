//! The server's history has parted from the log's: what lies behind the fork is cut off.

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;
use walgate_core::Lsn;
use walgate_journal::log::Opened;
use walgate_journal::storage::{SimulatedDisk, Storage};

use crate::rig::{Rig, checkpoint, open, options, read_all, rows_of};
use crate::runs::{COMMIT_BYTES, run, whole};

/// What is behind the last of these, with everything before it.
fn rows_up_to(whole_ones: &BTreeSet<u64>, end: u64) -> Vec<String> {
    rows_of(
        whole_ones
            .iter()
            .copied()
            .filter(|lsn| lsn + COMMIT_BYTES <= end),
    )
}

/// The rows that are there, each once and in order.
fn rows_in(rig: &Rig, whole_ones: &BTreeSet<u64>) -> Vec<String> {
    let found: BTreeSet<_> = read_all(&rig.view).rows.into_iter().collect();
    let known: Vec<_> = rows_of(whole_ones.iter().copied());
    let known_only: BTreeSet<_> = known.iter().cloned().collect();
    assert!(found.is_subset(&known_only), "{found:?}");
    known
        .into_iter()
        .filter(|row| found.contains(row))
        .collect()
}

fn cut_at(disk: &SimulatedDisk, end: Lsn) -> Rig {
    let opened = open(disk, 0).expect("opened");
    opened.discard().expect("marked");
    // Before the checkpoint is written nothing that was confirmed goes.
    drop(opened);
    let rig = Rig::on(disk, end.0);
    let again = open(disk, end.0).expect("opened");
    assert!(again.tail() >= Some(end), "what is cut does not come back");
    rig
}

#[test]
fn whole_transactions_before_the_fork_stay_and_the_new_branch_goes_on() {
    let all: BTreeSet<_> = (100..=3_000).step_by(100).collect();
    let log = || {
        let mut rig = Rig::new();
        for lsn in &all {
            rig.append(&whole(*lsn).frames());
        }
        rig.flush();
        rig.disk.crash()
    };
    for (fork, end) in [
        (2_950, 2_908),
        (2_900, 2_808),
        (2_908, 2_908),
        (650, 608),
        (150, 108),
    ] {
        let disk = log();
        let opened = open(&disk, 3_008).expect("opened");
        let found = opened.view().whole_before(Lsn(fork)).expect("read");
        assert_eq!(found, Some(Lsn(end)), "{fork}");
        drop(opened);
        let mut cut = cut_at(&disk, Lsn(end));
        assert_eq!(read_all(&cut.view).rows, rows_up_to(&all, end), "{fork}");
        cut.append(&whole(fork + 7).frames());
        cut.flush();
        let mut now: BTreeSet<_> = all.iter().copied().filter(|lsn| lsn + 8 <= end).collect();
        now.insert(fork + 7);
        assert_eq!(
            read_all(&cut.view).rows,
            rows_up_to(&now, 1 << 40),
            "{fork}"
        );
    }
    let opened = open(&log(), 3_008).expect("opened");
    assert_eq!(opened.view().whole_before(Lsn(50)).expect("read"), None);
}

#[test]
fn a_marker_without_its_checkpoint_takes_nothing_that_was_confirmed() {
    let mut rig = Rig::new();
    for lsn in (100..=1_000).step_by(100) {
        rig.append(&whole(lsn).frames());
    }
    rig.flush();
    let opened = open(&rig.disk, 1_008).expect("opened");
    opened.discard().expect("marked");
    drop(opened);
    let disk = rig.disk.crash();
    let opened = open(&disk, 1_008).expect("opened");
    assert_eq!(opened.tail(), Some(Lsn(1_008)));
}

/// Transactions alone and together, in parts, cut off and repeated, with progress between them, in
/// segments that were compressed and some that were not.
#[test]
fn whatever_is_in_the_log_what_is_left_ends_before_the_fork() {
    let mut near = 0;
    for seed in 0..2_000 {
        let mut random = Rng::with_seed(seed);
        let disk = SimulatedDisk::new(seed);
        let mut rig = Rig::on(&disk, 0);
        let (all, head) = random_log(&mut rig, &mut random);
        let disk = rig.disk.crash();
        let fork = random.u64(100..head + 50);
        let opened = open(&disk, head).expect("opened");
        let end = opened.view().whole_before(Lsn(fork)).expect("read");
        drop(opened);
        let Some(end) = end else { continue };
        assert!(end.0 <= fork, "seed {seed}: {end} behind {fork:x}");
        near += u64::from(fork - end.0 < 1_500);
        let opened = open(&disk, head).expect("opened");
        opened.discard().expect("marked");
        drop(opened);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let opened = Opened::open(storage, options(), Some(&checkpoint(end.0))).expect("opened");
        assert_eq!(opened.tail(), Some(end), "seed {seed}");
        let cut = Rig::started(&disk, opened, end.0);
        let rows = rows_in(&cut, &all);
        assert_eq!(rows, rows_up_to(&all, end.0), "seed {seed}, fork {fork}");
    }
    assert!(near > 1_000, "it cuts far before the fork: {near}");
}

fn random_log(rig: &mut Rig, random: &mut Rng) -> (BTreeSet<u64>, u64) {
    let (mut all, mut lsn) = (BTreeSet::new(), 100);
    for _ in 0..random.u32(5..60) {
        match random.u32(0..10) {
            0..=3 => {
                rig.append(&whole(lsn).frames());
                all.insert(lsn);
            }
            4..=5 => {
                let lsns: Vec<_> = (0..random.u64(2..5)).map(|n| lsn + n * 40).collect();
                let parts: Vec<_> = lsns.iter().map(|lsn| whole(*lsn)).collect();
                rig.append(&run(&parts));
                lsn = lsns.last().copied().unwrap_or(lsn);
                all.extend(lsns);
            }
            6 => {
                rig.append(&whole(lsn).cut(2..3).frames());
                rig.append(&run(&[whole(lsn).rest(3..4), whole(lsn + 30)]));
                all.extend([lsn, lsn + 30]);
                lsn += 30;
            }
            7 => {
                // A connection that ends in the midst of it: it comes again, behind what came
                // before it in the commit order.
                rig.append(&whole(lsn + 60).cut(2..3).frames());
                rig.append(&whole(lsn).frames());
                rig.append(&whole(lsn + 60).frames());
                all.extend([lsn, lsn + 60]);
                lsn += 60;
            }
            8 => rig.progress(lsn),
            _ => {
                rig.flush();
                if random.bool() {
                    crate::packing::pack(rig);
                }
            }
        }
        lsn += random.u64(9..300);
    }
    rig.flush();
    (all, lsn)
}
