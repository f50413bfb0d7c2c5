//! What is appended comes back, whatever was written of it.

use walgate_core::{Gap, GapReason, Lsn};
use walgate_journal::log::{SegmentState, Then};

use crate::rig::{Rig, read_all, read_on, rows_of};
use crate::runs::{at, commit, whole};

#[test]
fn what_was_appended_is_read_in_order_across_segments() {
    let mut rig = Rig::new();
    for lsn in 1..=50 {
        assert_eq!(rig.append(&whole(lsn * 100).frames()), Some(lsn - 1));
    }
    let synced = rig.flush();
    assert_eq!(
        synced.whole,
        at(5_008, 0),
        "the end of the last transaction"
    );
    assert_eq!(synced.end_entry, 50);
    let story = read_all(&rig.view);
    assert_eq!(story.rows, rows_of((1..=50).map(|lsn| lsn * 100)));
    assert_eq!(story.numbers, (0..50).collect::<Vec<_>>());
    let segments = rig.view.catalogue().segments();
    assert!(segments.len() > 5, "{}", segments.len());
    for pair in segments.windows(2) {
        let [one, next] = pair else { continue };
        assert_eq!(one.end_entry, next.first_entry);
        assert_eq!(one.highest, next.before);
        assert_eq!((one.synced, one.written), (one.bytes, one.bytes));
        assert_eq!(one.state, SegmentState::Sealed);
        assert!(one.data_end >= 1_000 && one.data_end < 1_500, "{one:?}");
    }
}

#[test]
fn appending_does_no_io_and_knows_the_number_at_once() {
    let mut rig = Rig::new();
    for number in 0..100 {
        assert_eq!(
            rig.append(&whole(number * 100 + 100).frames()),
            Some(number)
        );
    }
    assert_eq!(rig.disk.used(), 0);
    assert!(rig.appender.pending_bytes() > 10_000);
    assert_eq!(rig.view.catalogue().entries(), 0..100);
    assert_eq!(rig.view.catalogue().newest(), commit(10_000));
    let mut reader = rig.view.reader_at(0);
    assert_eq!(reader.read().expect("read").then, Then::Tail);
    rig.flush();
    assert_eq!(read_on(&mut reader).rows.len(), 200);
}

#[test]
fn a_reader_follows_what_is_written_before_it_is_synced() {
    let mut rig = Rig::new();
    let mut reader = rig.view.reader_behind(at(0, 0));
    for lsn in 1..=30 {
        rig.append(&whole(lsn * 100).frames());
        assert!(rig.write());
        assert_eq!(read_on(&mut reader).rows, rows_of([lsn * 100]));
        assert_eq!(reader.next_entry(), Some(lsn));
    }
    assert!(rig.files.synced().end_entry < 30, "not all was synced");
}

#[test]
fn progress_and_gaps_are_kept() {
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    rig.progress(150);
    let gap = Gap {
        from: Lsn(150),
        to: Lsn(300),
        reason: GapReason::SlotAhead,
    };
    assert_eq!(rig.append_gap(&gap), 1);
    rig.append(&whole(400).frames());
    rig.progress(500);
    assert_eq!(rig.flush().whole, at(500, 0));
    let story = read_all(&rig.view);
    assert_eq!(story.rows, rows_of([100, 400]));
    assert_eq!(story.gaps, [gap]);
    assert_eq!(story.progress, Some(at(500, 0)));
    assert_eq!(rig.view.catalogue().newest(), commit(400), "of the entries");
    // A restart keeps it.
    let rig = Rig::on(&rig.disk.crash(), 0);
    assert_eq!(rig.files.synced().whole, at(500, 0));
    assert_eq!(read_all(&rig.view).rows, rows_of([100, 400]));
}

#[test]
fn every_entry_and_position_can_be_sought() {
    let mut rig = Rig::new();
    for lsn in 1..=40 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    for entry in 0..=40 {
        let story = read_on(&mut rig.view.reader_at(entry));
        assert_eq!(story.numbers, (entry..40).collect::<Vec<_>>());
        assert!(story.damaged.is_empty() && story.gone.is_empty());
    }
    for lsn in 1..=40 {
        let behind = read_on(&mut rig.view.reader_behind(commit(lsn * 100)));
        assert_eq!(behind.rows, rows_of((lsn + 1..=40).map(|lsn| lsn * 100)));
        let inside = read_on(&mut rig.view.reader_behind(at(lsn * 100, 3)));
        assert_eq!(inside.rows, rows_of((lsn..=40).map(|lsn| lsn * 100)));
        assert!(inside.damaged.is_empty() && inside.gone.is_empty());
    }
}

#[test]
fn a_repeated_transaction_is_found_by_its_first_run() {
    // A run that is cut by a disconnect, and the same transaction again.
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    rig.append(&whole(200).bytes(400).cut(2..4).frames());
    rig.append(&whole(200).bytes(400).cut(2..3).frames());
    rig.append(&whole(200).bytes(400).rest(3..5).frames());
    rig.append(&whole(300).frames());
    rig.flush();
    let story = read_on(&mut rig.view.reader_behind(at(200, 2)));
    assert_eq!(story.numbers, [1, 2, 3, 4]);
    let story = read_on(&mut rig.view.reader_behind(at(200, 3)));
    assert_eq!(story.numbers, [3, 4], "2 ends below what is known");
    let story = read_on(&mut rig.view.reader_behind(commit(200)));
    assert_eq!(story.numbers, [4]);
}

#[test]
fn large_runs_are_read_whole_and_in_chunks() {
    let mut rig = Rig::new();
    for lsn in 1..=8 {
        rig.append(&whole(lsn * 100).bytes(700_000).frames());
    }
    rig.flush();
    let story = read_all(&rig.view);
    assert_eq!(story.rows, rows_of((1..=8).map(|lsn| lsn * 100)));
    assert!(story.chunks >= 8, "{} chunks", story.chunks);
}

#[test]
fn frames_that_are_not_sound_are_refused_and_harm_nothing() {
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    let mut wrong = whole(200).frames();
    wrong.epoch = 3;
    assert!(
        rig.appender
            .append(&wrong, walgate_core::PgMicros(0))
            .is_err()
    );
    assert_eq!(rig.append(&whole(300).frames()), Some(1));
    rig.flush();
    assert_eq!(read_all(&rig.view).rows, rows_of([100, 300]));
}

#[test]
fn a_sealed_log_takes_nothing_more_and_starts_again() {
    let mut rig = Rig::new();
    rig.append(&whole(100).frames());
    rig.appender
        .seal(walgate_core::PgMicros(0))
        .expect("sealed");
    rig.flush();
    let frames = whole(200).frames();
    assert!(
        rig.appender
            .append(&frames, walgate_core::PgMicros(0))
            .is_err()
    );
    let before = rig.disk.count(walgate_journal::storage::Call::Write);
    let rig = Rig::on(&rig.disk.crash(), 108);
    let after = rig.disk.count(walgate_journal::storage::Call::Write);
    assert_eq!(before, after, "nothing is to be repaired");
    assert_eq!(read_all(&rig.view).rows, rows_of([100]));
}
