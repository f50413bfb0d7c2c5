//! Finding a time, and looking at a folder from outside.

use std::sync::Arc;

use walgate_core::{Lsn, PgMicros};
use walgate_journal::log::{LogView, SegmentState};
use walgate_journal::storage::{Call, Folder, Storage};

use crate::rig::{Rig, SLOT, facts, file, read_all, read_on, rows_of};
use crate::runs::{at, commit, run, whole};

fn log_of(count: u64) -> Rig {
    let mut rig = Rig::new();
    for lsn in 1..=count {
        rig.append(&whole(lsn * 100).of(lsn as u32 % 3).frames());
    }
    rig.flush();
    rig
}

fn offline(rig: &Rig) -> LogView {
    LogView::offline(Arc::new(rig.disk.clone())).expect("opened")
}

#[test]
fn a_time_is_the_first_transaction_in_log_order_at_or_after_it() {
    // Commit times are not in the order of the log: 10, 20, 15, 40, 30, 50 …
    let times = [10, 20, 15, 40, 30, 50, 45, 60, 70, 65, 80, 75, 90, 85, 100];
    let mut rig = Rig::new();
    for (lsn, time) in (1..).zip(times) {
        rig.append(&whole(lsn * 100).time(time).frames());
    }
    rig.flush();
    assert!(rig.segments().len() > 2);
    for view in [rig.view.clone(), offline(&rig)] {
        for time in 0..=100 {
            let expected = times.iter().position(|one| *one >= time).expect("one") as u64 + 1;
            let position = view.position_at(PgMicros(time)).expect("read");
            assert_eq!(position, Some(at(expected * 100, 0)), "{time}");
            let story = read_on(&mut view.reader_behind(at(expected * 100, 0)));
            assert_eq!(story.rows, rows_of((expected..=15).map(|lsn| lsn * 100)));
        }
        assert_eq!(view.position_at(PgMicros(101)), Ok(None));
    }
}

#[test]
fn a_time_is_found_inside_a_run() {
    let mut rig = Rig::new();
    let parts = [
        whole(100).time(10),
        whole(200).time(30),
        whole(300).time(20),
    ];
    rig.append(&run(&parts));
    rig.flush();
    for (time, lsn) in [(10, 100), (11, 200), (25, 200)] {
        let position = rig.view.position_at(PgMicros(time)).expect("read");
        assert_eq!(position, Some(at(lsn, 0)));
    }
}

#[test]
fn a_folder_can_be_looked_at_while_it_is_appended_to() {
    let mut rig = log_of(30);
    let writes = rig.disk.count(Call::Write);
    let view = offline(&rig);
    assert_eq!(rig.disk.count(Call::Write), writes);
    let live = rig.view.catalogue().segments();
    let seen = view.catalogue().segments();
    assert_eq!(seen.len(), live.len());
    for (seen, live) in seen.iter().zip(&live) {
        assert_eq!(
            (
                seen.number,
                seen.first_entry,
                seen.end_entry,
                seen.before,
                seen.highest
            ),
            (
                live.number,
                live.first_entry,
                live.end_entry,
                live.before,
                live.highest
            )
        );
        assert_eq!(
            (seen.whole, seen.bytes, seen.data_end, seen.commit_times),
            (live.whole, live.bytes, live.data_end, live.commit_times)
        );
    }
    assert_eq!(seen.last().map(|last| last.state), Some(SegmentState::Open));
    assert_eq!(read_all(&view).rows, rows_of((1..=30).map(|lsn| lsn * 100)));
    let header = view.header(1).expect("read").expect("a header");
    assert_eq!(header.facts, facts());
    assert_eq!(header.facts.slot, SLOT);
    // What is being written is no damage.
    rig.append(&whole(3_100).bytes(2_000).frames());
    assert!(rig.write());
    let last = rig.view.catalogue().segments().last().expect("one").clone();
    rig.disk.cut(&file(last.number), last.bytes - 7);
    let view = offline(&rig);
    let verified = view.verify().expect("verified");
    assert_eq!(verified.damaged, []);
    assert!(verified.torn.is_some());
    assert_eq!(read_all(&view).rows, rows_of((1..=30).map(|lsn| lsn * 100)));
}

#[test]
fn every_byte_is_verified() {
    let rig = log_of(12);
    let verified = rig.view.verify().expect("verified");
    assert_eq!((verified.damaged.len(), verified.torn), (0, None));
    assert_eq!(verified.entries, 12);
    assert_eq!(verified.segments, rig.segments().len());
    assert_eq!(verified.bytes, rig.view.catalogue().bytes());
    let sealed = rig.view.catalogue().segments()[1].clone();
    for offset in 0..sealed.bytes {
        assert!(
            rig.disk
                .flip(&file(sealed.number), offset, (offset % 8) as u8)
        );
        for view in [rig.view.clone(), offline(&rig)] {
            let verified = view.verify().expect("verified");
            assert!(!verified.damaged.is_empty(), "offset {offset}");
            for place in &verified.damaged {
                assert_eq!(place.segment, sealed.number, "offset {offset}: {place}");
                assert!(place.offset <= offset, "offset {offset}: {place}");
            }
            // Whoever reads it is never given anything else than what was written.
            let story = read_all(&view);
            let all = rows_of((1..=12).map(|lsn| lsn * 100));
            assert!(
                story.rows.iter().all(|row| all.contains(row)),
                "offset {offset}"
            );
            assert!(
                story.rows.len() == 24 || !story.damaged.is_empty(),
                "offset {offset}: {} rows",
                story.rows.len()
            );
        }
        assert!(
            rig.disk
                .flip(&file(sealed.number), offset, (offset % 8) as u8)
        );
    }
    assert_eq!(rig.view.verify().expect("verified").damaged, []);
}

#[test]
fn missing_segments_are_named() {
    let rig = log_of(30);
    let third = rig.view.catalogue().segments()[2].clone();
    rig.disk.lose(&file(third.number));
    let view = offline(&rig);
    let verified = view.verify().expect("verified");
    let [place] = &verified.damaged[..] else {
        panic!("{:?}", verified.damaged);
    };
    assert_eq!(place.segment, third.number + 1);
    assert_eq!((place.from, place.to), (third.before, Some(third.highest)));
    assert_eq!(read_all(&view).damaged.len(), 1);
}

#[test]
fn it_works_on_a_real_folder() {
    let above = tempfile::tempdir().expect("a directory");
    let path = above.path().join("journal");
    let mut rig = Rig::in_folder(Arc::new(Folder::take(&path).expect("taken")), 0);
    for lsn in 1..=30 {
        rig.append(&whole(lsn * 100).frames());
    }
    rig.flush();
    let view =
        LogView::offline(Arc::new(Folder::read_only(&path).expect("opened"))).expect("opened");
    assert_eq!(read_all(&view).rows, rows_of((1..=30).map(|lsn| lsn * 100)));
    assert_eq!(view.verify().expect("verified").damaged, []);
    let all = rig.segments();
    rig.files.delete(&all[..2]).expect("deleted");
    drop(rig);
    let folder = Folder::take(&path).expect("taken");
    assert_eq!(folder.list().expect("listed").len(), all.len() - 2);
    let rig = Rig::in_folder(Arc::new(folder), 3_008);
    assert_eq!(rig.files.synced().whole.lsn(), Lsn(3_008));
    let story = read_on(&mut rig.view.reader_behind(commit(2_000)));
    assert_eq!(story.rows, rows_of((21..=30).map(|lsn| lsn * 100)));
}

#[test]
fn a_reader_and_the_writer_don_t_disturb_each_other() {
    let above = tempfile::tempdir().expect("a directory");
    let mut rig = Rig::in_folder(Arc::new(Folder::take(above.path()).expect("taken")), 0);
    let view = rig.view.clone();
    const COUNT: u64 = 3_000;
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let view = view.clone();
            std::thread::spawn(move || {
                let mut reader = view.reader_at(0);
                let mut rows = Vec::new();
                while rows.len() < 2 * COUNT as usize {
                    let story = read_on(&mut reader);
                    assert!(
                        story.damaged.is_empty() && story.gone.is_empty(),
                        "{story:?}"
                    );
                    rows.extend(story.rows);
                }
                rows
            })
        })
        .collect();
    for lsn in 1..=COUNT {
        rig.append(&whole(lsn * 100).of(lsn as u32 % 7).frames());
        if lsn % 3 == 0 {
            assert!(rig.write());
        }
    }
    rig.flush();
    for reader in readers {
        let rows = reader.join().expect("a reader");
        assert_eq!(rows, rows_of((1..=COUNT).map(|lsn| lsn * 100)));
    }
}
