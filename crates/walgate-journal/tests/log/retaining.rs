//! What goes, and what readers are told of it.

use std::io::ErrorKind;

use walgate_core::PgMicros;
use walgate_journal::Demand;
use walgate_journal::log::{LogOptions, Need, Room, Then};
use walgate_journal::storage::{Call, Fault, Storage, When};

use crate::rig::{Rig, file, options, read_all, read_on, rows_of};
use crate::runs::{commit, whole};

fn log_of(count: u64) -> Rig {
    let mut rig = Rig::new();
    for lsn in 1..=count {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    rig
}

fn need(has: u64) -> Need {
    Need {
        name: "kafka".to_owned(),
        demand: Demand::Required,
        has: commit(has),
    }
}

#[test]
fn what_retention_names_is_deleted_and_stays_deleted() {
    let mut rig = log_of(50);
    let options = LogOptions {
        replay_bytes: 0,
        ..options()
    };
    let needs = [need(2_500)];
    let retention = rig
        .view
        .catalogue()
        .retention(&options, PgMicros(0), &needs, None);
    assert!(!retention.delete.is_empty());
    assert_eq!(retention.room, Room::Free);
    let used = rig.disk.used();
    rig.files.delete(&retention.delete).expect("deleted");
    assert!(rig.disk.used() < used);
    let oldest = rig.view.catalogue().oldest();
    assert!(
        oldest <= commit(2_500) && oldest > commit(1_500),
        "{oldest}"
    );
    let kept = oldest.lsn().0 / 100 + 1;
    assert_eq!(
        read_all(&rig.view).rows,
        rows_of((kept..=50).map(|lsn| lsn * 100))
    );
    let behind = read_on(&mut rig.view.reader_behind(commit(2_500)));
    assert_eq!(behind.rows, rows_of((26..=50).map(|lsn| lsn * 100)));
    assert!(behind.gone.is_empty() && behind.damaged.is_empty());
    let rig = Rig::on(&rig.disk.crash(), 5_008);
    assert_eq!(rig.view.catalogue().oldest(), oldest);
    assert_eq!(
        read_all(&rig.view).rows,
        rows_of((kept..=50).map(|lsn| lsn * 100))
    );
}

#[test]
fn a_reader_of_what_is_gone_is_told_and_goes_on_at_the_oldest() {
    let mut rig = log_of(50);
    let mut inside = rig.view.reader_behind(commit(300));
    assert_eq!(
        inside
            .read()
            .expect("read")
            .entries
            .first()
            .map(|one| one.number),
        Some(3)
    );
    let mut inside = rig.view.reader_behind(commit(300));
    let segments = rig.segments();
    let mut at_end = rig.view.reader_at(0);
    rig.files.delete(&segments[..4]).expect("deleted");
    let oldest = rig.view.catalogue().oldest();
    let rest = rows_of((oldest.lsn().0 / 100 + 1..=50).map(|lsn| lsn * 100));
    let then = inside.read().expect("read").then;
    let from = commit(300);
    assert_eq!(then, Then::Gone { from, oldest });
    assert_eq!(inside.read().expect("read").then, then, "until it goes on");
    let story = read_on(&mut inside);
    assert_eq!(story.rows, rest);
    let story = read_on(&mut at_end);
    assert_eq!((story.rows, story.gone.len()), (rest.clone(), 1));
    let story = read_on(&mut rig.view.reader_behind(commit(100)));
    assert_eq!(
        (story.rows, story.gone),
        (rest, vec![(commit(100), oldest)])
    );
}

#[test]
fn a_reader_that_has_read_what_is_deleted_loses_nothing() {
    let mut rig = log_of(8);
    let mut reader = rig.view.reader_at(0);
    assert_eq!(read_on(&mut reader).rows.len(), 16);
    let all = rig.segments();
    for lsn in 9..=20 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    // Its segment has grown since, so that one may not go; those before it may.
    rig.files.delete(&all[..all.len() - 1]).expect("deleted");
    let story = read_on(&mut reader);
    assert_eq!(story.rows, rows_of((9..=20).map(|lsn| lsn * 100)));
    assert!(story.gone.is_empty());
    let sealed = rig.segments();
    rig.files
        .delete(&sealed[..sealed.len() - 1])
        .expect("deleted");
    for lsn in 21..=22 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    let story = read_on(&mut reader);
    assert_eq!(story.rows, rows_of([2_100, 2_200]));
    assert!(story.gone.is_empty());
}

#[test]
fn the_active_segment_never_goes() {
    let mut rig = log_of(50);
    let options = LogOptions {
        replay_bytes: 0,
        budget_bytes: Some(1),
        ..options()
    };
    let retention = rig
        .view
        .catalogue()
        .retention(&options, PgMicros(0), &[], None);
    let segments = rig.segments();
    assert_eq!(retention.delete, segments[..segments.len() - 1]);
    let Room::Full {
        held_by,
        over_bytes,
    } = retention.room
    else {
        panic!("the rest is over the budget");
    };
    assert!(held_by.is_empty() && over_bytes > 0);
    rig.files.delete(&retention.delete).expect("deleted");
    assert_eq!(rig.view.catalogue().len(), 1);
}

#[test]
fn what_is_not_synced_does_not_go() {
    let mut rig = Rig::new();
    for lsn in 1..=50 {
        rig.append(&whole(lsn * 100).frames());
    }
    let options = LogOptions {
        replay_bytes: 0,
        ..options()
    };
    let delete = |rig: &Rig| {
        rig.view
            .catalogue()
            .retention(&options, PgMicros(0), &[], None)
            .delete
    };
    assert!(delete(&rig).is_empty());
    // To write means to sync at each new segment, but for the last.
    assert!(rig.write());
    let segments = rig.view.catalogue().segments();
    let [.., unsynced, active] = &segments[..] else {
        panic!("{segments:?}");
    };
    assert_eq!((unsynced.synced, active.synced), (unsynced.bytes, 0));
    let goes = delete(&rig);
    assert!(
        !goes.contains(&unsynced.number),
        "its successor may be lost"
    );
    rig.flush();
    assert!(delete(&rig).contains(&unsynced.number));
}

#[test]
fn a_file_that_can_not_be_removed_is_tried_again_and_harms_nobody() {
    let mut rig = log_of(50);
    let segments = rig.segments();
    rig.disk.fail(Fault {
        call: Call::Remove,
        error: ErrorKind::PermissionDenied,
        when: When::After(1),
    });
    let failure = rig.files.delete(&segments[..3]).expect_err("refused");
    assert!(failure.message.contains(&file(segments[1])), "{failure}");
    assert_eq!(
        rig.view.catalogue().len(),
        segments.len() - 3,
        "readers don't see them"
    );
    assert!(rig.disk.contents(&file(segments[1])).is_some());
    rig.files.delete(&[]).expect("deleted");
    assert!(rig.disk.contents(&file(segments[1])).is_none());
    assert!(rig.disk.contents(&file(segments[2])).is_none());
    assert_eq!(rig.disk.list().expect("listed").len(), segments.len() - 3);
}

#[test]
fn a_power_cut_while_segments_go_leaves_no_hole() {
    for seed in 0..100 {
        let mut rig = Rig::on(&walgate_journal::storage::SimulatedDisk::new(seed), 0);
        for lsn in 1..=50 {
            rig.append(&whole(lsn * 100).frames());
        }
        rig.flush();
        let segments = rig.segments();
        rig.disk.fail(Fault {
            call: Call::SyncFolder,
            error: ErrorKind::Other,
            when: When::After((seed % 6) as u32),
        });
        assert!(rig.files.delete(&segments[..8]).is_err());
        let rig = Rig::on(&rig.disk.crash(), 5_008);
        let story = read_all(&rig.view);
        assert!(story.damaged.is_empty(), "seed {seed}");
        let kept = story.rows.len() as u64 / 2;
        assert_eq!(
            story.rows,
            rows_of((51 - kept..=50).map(|lsn| lsn * 100)),
            "seed {seed}"
        );
    }
}
