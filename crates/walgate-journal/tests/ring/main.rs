//! The journal in memory: order, budget, readers.
#![expect(clippy::expect_used, reason = "a test that can't go on says so")]

mod runs;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use runs::{position, run};
use walgate_core::{Frames, Gap, GapReason, Lsn, Position};
use walgate_journal::{Cursor, Demand, Journal, Read};

const START: Position = Position::ZERO;

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn append(journal: &Journal, frames: Frames) -> bool {
    match now(journal.append(frames)) {
        Some(appended) => {
            appended.expect("appended");
            true
        }
        None => false,
    }
}

/// What is at hand, in short.
fn read(cursor: &mut Cursor) -> String {
    match now(cursor.next()) {
        None => "-".into(),
        Some(read) => match read.expect("a read") {
            Read::Frames(frames) => frames.last().expect("a position").to_string(),
            Read::Progress(position) => format!("progress {}", position.lsn()),
            Read::Gap(gap) => format!("gap {}..{} {}", gap.from, gap.to, gap.reason),
            Read::End => "end".into(),
        },
    }
}

fn id(lsn: u64, index: u32) -> String {
    position(lsn, index).to_string()
}

#[test]
fn every_reader_reads_everything_in_order() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut one = journal.reader("one", Demand::Required, START);
    let mut two = journal.reader("two", Demand::Optional, START);
    assert!(append(&journal, run(0x100, 1..4, 100)));
    assert_eq!(read(&mut one), id(0x100, 3));
    assert!(append(&journal, run(0x100, 4..6, 100)));
    assert_eq!([read(&mut one), read(&mut one)], [id(0x100, 5), "-".into()]);
    assert_eq!(
        [read(&mut two), read(&mut two)],
        [id(0x100, 3), id(0x100, 5)]
    );
    journal.end();
    assert_eq!([read(&mut one), read(&mut two)], ["end", "end"]);
    assert!(
        now(journal.append(run(0x200, 1..2, 1)))
            .expect("ready")
            .is_err()
    );
}

#[test]
fn a_reader_at_the_head_is_woken_by_an_append() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut next = pin!(cursor.next());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    assert!(next.as_mut().poll(&mut cx).is_pending());
    assert!(append(&journal, run(0x100, 1..4, 100)));
    assert_eq!(
        woken.0.load(Ordering::SeqCst),
        1,
        "woken once however often it was polled"
    );
    assert!(next.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn what_is_delivered_is_freed_when_nobody_needs_it() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut one = journal.reader("one", Demand::Required, START);
    let mut two = journal.reader("two", Demand::Required, START);
    for lsn in [0x100, 0x200, 0x300] {
        assert!(append(&journal, run(lsn, 1..4, 1000)));
    }
    let full = journal.stats().bytes;
    assert!(full >= 3000);
    for cursor in [&mut one, &mut two] {
        (0..3).for_each(|_| drop(read(cursor)));
    }
    one.release(position(0x300, 3));
    assert_eq!(journal.stats().bytes, full, "the other still needs it");
    two.release(position(0x200, 2));
    assert_eq!(
        journal.stats().entries,
        2,
        "a run is kept as long as any of it is needed"
    );
    two.release(position(0x200, 3));
    assert_eq!(journal.stats().entries, 1);
    drop(two);
    let stats = journal.stats();
    assert_eq!((stats.entries, stats.bytes, stats.readers.len()), (0, 0, 1));
    assert_eq!(stats.oldest, position(0x300, 3));
}

#[test]
fn a_required_reader_holds_the_append_back() {
    let journal = Journal::in_memory(4000, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    assert!(append(&journal, run(0x100, 1..4, 1500)));
    assert!(append(&journal, run(0x200, 1..4, 1500)));
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut waiting = pin!(journal.append(run(0x300, 1..4, 1500)));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    assert!(journal.stats().held_back);
    assert!(
        append(&journal, Frames::progress(0, Lsn(0x280))),
        "progress needs no room"
    );
    assert_eq!(read(&mut cursor), id(0x100, 3));
    cursor.release(position(0x100, 2));
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    cursor.release(position(0x100, 3));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(waiting.as_mut().poll(&mut cx).is_ready());
    assert!(!journal.stats().held_back);
    assert_eq!(
        [read(&mut cursor), read(&mut cursor)],
        [id(0x200, 3), id(0x300, 3)]
    );
}

#[test]
fn an_append_is_woken_when_only_optional_readers_are_in_the_way() {
    let journal = Journal::in_memory(2500, START);
    let mut needed = journal.reader("needed", Demand::Required, START);
    let mut slow = journal.reader("slow", Demand::Optional, START);
    assert!(append(&journal, run(0x100, 1..4, 1500)));
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let mut waiting = pin!(journal.append(run(0x200, 1..4, 1500)));
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    read(&mut needed);
    needed.release(position(0x100, 3));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(waiting.as_mut().poll(&mut cx).is_ready());
    assert_eq!(read(&mut slow), "gap 0/0..0/108 sink_fell_behind");
}

#[test]
fn an_append_that_is_given_up_leaves_nothing() {
    let journal = Journal::in_memory(1000, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    assert!(append(&journal, run(0x100, 1..4, 500)));
    assert!(!append(&journal, run(0x200, 1..4, 500)));
    assert_eq!(read(&mut cursor), id(0x100, 3));
    assert_eq!(read(&mut cursor), "-");
}

#[test]
fn a_run_larger_than_the_budget_passes_alone() {
    let journal = Journal::in_memory(1000, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    assert!(append(&journal, run(0x100, 1..4, 1 << 20)));
    assert!(!append(&journal, run(0x200, 1..2, 1)));
    assert_eq!(read(&mut cursor), id(0x100, 3));
    cursor.release(position(0x100, 3));
    assert!(append(&journal, run(0x200, 1..2, 1)));
}

#[test]
fn a_transaction_larger_than_the_ring_passes_through() {
    let journal = Journal::in_memory(4000, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    for part in 0..1000u32 {
        let first = 1 + part * 10;
        assert!(
            append(&journal, run(0x100, first..first + 10, 2000)),
            "part {part}"
        );
        assert_eq!(read(&mut cursor), id(0x100, first + 9));
        cursor.release(position(0x100, first + 9));
        assert!(journal.stats().bytes <= 4000);
    }
}

#[test]
fn an_optional_reader_is_dropped_behind_with_a_gap() {
    let journal = Journal::in_memory(4000, START);
    let mut needed = journal.reader("needed", Demand::Required, START);
    let mut slow = journal.reader("slow", Demand::Optional, START);
    assert!(append(&journal, run(0x100, 1..4, 1000)));
    assert_eq!(read(&mut slow), id(0x100, 3));
    for lsn in (0x200..0x1000).step_by(0x100) {
        assert!(append(&journal, run(lsn, 1..4, 1000)), "never waits for it");
        read(&mut needed);
        needed.release(position(lsn, 3));
    }
    let kept = journal.stats().entries;
    assert!((1..=2).contains(&kept), "{kept}");
    // It read 0x100; what is behind it is lost as whole transactions up to the first kept run.
    let lost = format!(
        "gap 0/100..{} sink_fell_behind",
        Lsn(0xF00 - 0x100 * kept as u64 + 8)
    );
    assert_eq!(read(&mut slow), lost);
    for lsn in (0x1000 - 0x100 * kept as u64..0x1000).step_by(0x100) {
        assert_eq!(read(&mut slow), id(lsn, 3));
    }
    assert_eq!(read(&mut slow), "-");
}

#[test]
fn an_optional_reader_loses_nothing_by_what_it_has_read_until_it_goes_back() {
    let journal = Journal::in_memory(3000, START);
    let mut slow = journal.reader("slow", Demand::Optional, START);
    for lsn in [0x100, 0x200, 0x300, 0x400] {
        assert!(append(&journal, run(lsn, 1..4, 1000)));
        assert_eq!(read(&mut slow), id(lsn, 3));
    }
    assert_eq!(read(&mut slow), "-");
    slow.rewind(position(0x100, 2));
    assert_eq!(read(&mut slow), "gap 0/100..0/208 sink_fell_behind");
    assert_eq!(
        [read(&mut slow), read(&mut slow)],
        [id(0x300, 3), id(0x400, 3)]
    );
}

#[test]
fn a_rewind_reads_again_what_is_not_released() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    for first in [1, 11, 21] {
        assert!(append(&journal, run(0x100, first..first + 10, 100)));
        read(&mut cursor);
    }
    cursor.release(position(0x100, 12));
    cursor.rewind(position(0x100, 12));
    assert_eq!(
        [read(&mut cursor), read(&mut cursor)],
        [id(0x100, 20), id(0x100, 30)]
    );
    cursor.rewind(position(0x100, 20));
    assert_eq!(
        [read(&mut cursor), read(&mut cursor)],
        [id(0x100, 30), "-".into()]
    );
}

#[test]
fn a_transaction_that_comes_again_is_kept_behind_the_one_that_was_cut() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    assert!(append(&journal, run(0x100, 1..50, 100)));
    // Cut, and begun again.
    assert!(append(&journal, run(0x100, 1..20, 100)));
    assert!(append(&journal, run(0x100, 20..60, 100)));
    (0..3).for_each(|_| drop(read(&mut cursor)));
    cursor.release(position(0x100, 30));
    assert_eq!(journal.stats().entries, 3);
    cursor.rewind(position(0x100, 30));
    assert_eq!(read(&mut cursor), id(0x100, 49));
    cursor.release(position(0x100, 49));
    assert_eq!(
        journal.stats().entries,
        1,
        "the repeated part is released too"
    );
}

#[test]
fn progress_is_told_at_the_end_only_and_takes_no_room() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    for lsn in 0..100_000 {
        assert!(append(&journal, Frames::progress(0, Lsn(lsn))));
    }
    assert_eq!(journal.stats().bytes, 0);
    assert_eq!(
        [read(&mut cursor), read(&mut cursor)],
        ["progress 0/1869F", "-"]
    );
    assert!(append(&journal, run(0x2_0000, 1..4, 10)));
    assert!(append(&journal, Frames::progress(0, Lsn(0x3_0000))));
    let reads = [(); 3].map(|()| read(&mut cursor));
    assert_eq!(
        reads,
        [id(0x2_0000, 3), "progress 0/30000".into(), "-".into()]
    );
}

#[test]
fn a_gap_of_the_source_has_its_place_among_the_frames() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut cursor = journal.reader("one", Demand::Required, START);
    let mut other = journal.reader("two", Demand::Optional, START);
    assert!(append(&journal, run(0x100, 1..4, 10)));
    let (from, to) = (Lsn(0x150), Lsn(0x200));
    journal.append_gap(Gap {
        from,
        to,
        reason: GapReason::SlotAhead,
    });
    assert!(append(&journal, run(0x300, 1..4, 10)));
    for cursor in [&mut cursor, &mut other] {
        let reads = [(); 3].map(|()| read(cursor));
        assert_eq!(
            reads,
            [
                id(0x100, 3),
                "gap 0/150..0/200 slot_ahead".into(),
                id(0x300, 3)
            ]
        );
        cursor.release(position(0x300, 3));
    }
    assert_eq!(journal.stats().entries, 0);
}

#[test]
fn a_reader_that_comes_late_is_told_what_it_has_missed() {
    let start = Position::new(0, Lsn(0x500), 0);
    let journal = Journal::in_memory(1 << 20, start);
    let mut behind = journal.reader(
        "behind",
        Demand::Optional,
        position(0x300, Position::COMMIT),
    );
    let mut ready = journal.reader("ready", Demand::Required, start);
    assert_eq!(read(&mut behind), "gap 0/300..0/500 sink_fell_behind");
    assert_eq!([read(&mut behind), read(&mut ready)], ["-", "-"]);
}

#[test]
fn a_required_reader_that_came_late_and_begins_again_is_told_again() {
    let journal = Journal::in_memory(1 << 20, Position::new(0, Lsn(0x500), 0));
    let from = position(0x300, Position::COMMIT);
    let mut behind = journal.reader("behind", Demand::Required, from);
    for _ in 0..2 {
        assert_eq!(read(&mut behind), "gap 0/300..0/500 sink_fell_behind");
        assert_eq!(read(&mut behind), "-");
        behind.rewind(from);
    }
}

#[test]
fn stats_say_who_is_behind() {
    let journal = Journal::in_memory(1 << 20, START);
    let mut one = journal.reader("one", Demand::Required, START);
    let _two = journal.reader("two", Demand::Optional, START);
    assert!(append(&journal, run(0x100, 1..4, 1000)));
    assert!(append(&journal, run(0x200, 1..4, 1000)));
    read(&mut one);
    one.release(position(0x100, 3));
    let stats = journal.stats();
    let behind: Vec<_> = stats
        .readers
        .iter()
        .map(|r| (r.name.as_str(), r.behind_entries))
        .collect();
    assert_eq!(behind, [("one", 1), ("two", 2)]);
    assert!(
        stats
            .readers
            .iter()
            .all(|reader| reader.behind_bytes >= 1000)
    );
    assert_eq!(stats.newest, position(0x200, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_and_one_writer_on_threads() {
    let journal = Journal::in_memory(20_000, START);
    let readers: Vec<_> = (0..16)
        .map(|n| {
            let mut cursor = journal.reader(n.to_string(), Demand::Required, START);
            tokio::spawn(async move {
                let mut last = START;
                let mut runs = 0;
                loop {
                    match cursor.next().await.expect("a read") {
                        Read::Frames(frames) => {
                            let position = frames.last().expect("a position");
                            assert!(position > last);
                            last = position;
                            runs += 1;
                            cursor.release(position);
                        }
                        Read::End => return runs,
                        Read::Progress(_) => {}
                        Read::Gap(gap) => panic!("{gap:?}"),
                    }
                }
            })
        })
        .collect();
    for lsn in 1..=2000 {
        journal
            .append(run(lsn * 8, 1..4, 1000))
            .await
            .expect("appended");
    }
    journal.end();
    for reader in readers {
        assert_eq!(reader.await.expect("no panic"), 2000);
    }
    assert_eq!(journal.stats().bytes, 0);
}
