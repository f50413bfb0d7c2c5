//! When the log writes and syncs, and what it does when the disk refuses.

use std::io::ErrorKind;

use walgate_core::{Position, StopReason};
use walgate_journal::log::{DiskState, LogOptions};
use walgate_journal::storage::{Call, Fault, When};

use crate::rig::{Rig, options, read_all, rows_of};
use crate::runs::{at, whole};

#[test]
fn a_sync_is_due_a_while_after_the_first_unsynced_byte() {
    let mut rig = Rig::new();
    assert_eq!(rig.files.due(rig.now), None);
    let began = rig.now;
    rig.append(&whole(100).frames());
    rig.files.queue(rig.appender.take_pending());
    assert_eq!(
        rig.files.due(rig.now),
        Some(rig.now),
        "there is something to write"
    );
    assert!(rig.files.write_out(rig.now));
    rig.later(30);
    rig.append(&whole(200).frames());
    assert!(rig.write());
    let due = began + std::time::Duration::from_millis(50);
    assert_eq!(
        rig.files.due(rig.now),
        Some(due),
        "later bytes don't put it off"
    );
    assert!(!rig.files.is_sync_due(rig.now));
    rig.later(20);
    assert!(rig.files.is_sync_due(rig.now));
    assert_eq!(rig.files.synced().whole, Position::ZERO);
    assert_eq!(rig.files.sync().expect("synced").whole, at(208, 0));
    assert_eq!(rig.files.due(rig.now), None);
    let syncs = rig.disk.count(Call::Sync);
    rig.files.sync().expect("nothing to do");
    assert_eq!(rig.disk.count(Call::Sync), syncs);
}

#[test]
fn many_bytes_are_synced_at_once() {
    let mut rig = Rig::with(LogOptions {
        segment_bytes: 1 << 30,
        ..options()
    });
    for lsn in 1..=12 {
        rig.append(&whole(lsn * 100).bytes(500_000).frames());
    }
    rig.files.queue(rig.appender.take_pending());
    assert!(!rig.files.write_out(rig.now), "it stops for the sync");
    assert!(rig.files.is_sync_due(rig.now));
    let synced = rig.files.sync().expect("synced");
    assert!((4..=6).contains(&synced.end_entry), "4 MiB: {synced:?}");
    assert_eq!(synced.whole, at(synced.end_entry * 100 + 8, 0));
    assert_eq!(rig.flush().end_entry, 12);
}

#[test]
fn the_durable_position_is_the_end_of_a_whole_transaction() {
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    rig.append(&whole(200).cut(2..10).frames());
    let synced = rig.flush();
    assert_eq!((synced.whole, synced.end_entry), (at(108, 0), 2));
    rig.append(&whole(200).rest(10..12).frames());
    assert!(rig.write());
    assert_eq!(
        rig.files.synced().whole,
        at(108, 0),
        "written is not synced"
    );
    assert_eq!(rig.flush().whole, at(208, 0));
}

#[test]
fn a_disk_that_is_full_is_tried_again_and_nothing_is_lost() {
    let mut rig = Rig::new();
    for lsn in 1..=10 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    rig.disk.set_capacity(rig.disk.used() + 100);
    for lsn in 11..=20 {
        rig.append(&whole(lsn * 100).frames());
    }
    assert!(!rig.write());
    assert_eq!(rig.files.state(), &DiskState::Full);
    let due = rig.now + std::time::Duration::from_secs(1);
    let again = rig.files.due(rig.now).expect("it is tried again");
    assert!(again <= due);
    let writes = rig.disk.count(Call::Write);
    assert!(!rig.files.write_out(rig.now), "not before its time");
    assert_eq!(rig.disk.count(Call::Write), writes);
    rig.later(1_000);
    assert!(!rig.files.write_out(rig.now));
    assert!(rig.disk.count(Call::Write) > writes);
    // What was written before can still be synced.
    rig.files.sync().expect("synced");
    rig.disk.set_capacity(1 << 30);
    rig.later(1_000);
    assert_eq!(rig.flush().end_entry, 20);
    assert_eq!(rig.files.state(), &DiskState::Works);
    let rig = Rig::on(&rig.disk.crash(), 0);
    assert_eq!(
        read_all(&rig.view).rows,
        rows_of((1..=20).map(|lsn| lsn * 100))
    );
}

#[test]
fn every_write_that_fails_is_tried_again() {
    for call in [Call::Write, Call::Create] {
        let mut rig = Rig::new();
        rig.disk.fail(Fault {
            call,
            error: ErrorKind::Other,
            when: When::OneIn(2),
        });
        let mut failed = 0;
        for lsn in 1..=60 {
            rig.append(&whole(lsn * 100).bytes(300).frames());
            while !rig.write() {
                failed += 1;
                assert!(matches!(rig.files.state(), DiskState::Failing(_)));
                rig.later(1_000);
            }
        }
        rig.flush();
        assert!(failed > 5, "{failed}");
        rig.disk.heal();
        let rig = Rig::on(&rig.disk.crash(), 0);
        assert_eq!(
            read_all(&rig.view).rows,
            rows_of((1..=60).map(|lsn| lsn * 100))
        );
    }
}

#[test]
fn a_file_system_that_is_read_only_for_a_while_is_waited_for() {
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    rig.flush();
    rig.disk.set_read_only(true);
    for lsn in 2..=20 {
        rig.append(&whole(lsn * 100).frames());
    }
    assert!(!rig.write());
    assert!(matches!(rig.files.state(), DiskState::Failing(_)));
    rig.disk.set_read_only(false);
    rig.later(1_000);
    rig.flush();
    assert_eq!(rig.files.state(), &DiskState::Works);
    let rig = Rig::on(&rig.disk.crash(), 0);
    assert_eq!(read_all(&rig.view).rows.len(), 40);
}

#[test]
fn what_a_folder_takes_with_it_is_lost_until_it_comes_again() {
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    rig.flush();
    rig.disk.set_vanished(true);
    rig.append(&whole(200).frames());
    assert!(rig.write(), "an open file takes it");
    assert!(rig.files.sync().is_err());
    rig.disk.set_vanished(false);
    let rig = Rig::on(&rig.disk.crash(), 108);
    // What was not promised may be there all the same.
    let story = read_all(&rig.view);
    assert!(
        [rows_of([100]), rows_of([100, 200])].contains(&story.rows),
        "{story:?}"
    );
    assert_eq!(story.damaged, []);
}

#[test]
fn a_failed_sync_is_final() {
    for call in [Call::Sync, Call::SyncFolder] {
        let mut rig = Rig::new();
        rig.disk.fail(Fault {
            call,
            error: ErrorKind::Other,
            when: When::Next,
        });
        rig.append(&whole(100).frames());
        assert!(rig.write());
        let failure = rig.files.sync().expect_err("failed");
        assert_eq!(failure.reason, StopReason::State);
        assert!(failure.hint.is_some());
        assert!(matches!(rig.files.state(), DiskState::Lost(_)));
        assert_eq!(rig.files.synced().end_entry, 0);
        assert_eq!(rig.files.sync(), Err(failure));
        rig.append(&whole(200).frames());
        rig.files.queue(rig.appender.take_pending());
        let writes = rig.disk.count(Call::Write);
        assert!(!rig.files.write_out(rig.now));
        assert_eq!(rig.disk.count(Call::Write), writes);
        assert_eq!(rig.files.due(rig.now), None);
        let rig = Rig::on(&rig.disk.crash(), 0);
        assert_eq!(read_all(&rig.view).rows.len(), 0, "nothing was confirmed");
    }
}
