//! Readers that are behind what is in memory.

use std::time::Duration;

use tokio::time::timeout;
use walgate_core::{Frames, Lsn, Position};
use walgate_journal::{Demand, Read};

use crate::bed::{IN_VAIN, durable, first, options, read, read_to, short, soon, until};
use crate::runs::{STEP, commit, part, position, rows, whole};

const START: Position = Position::ZERO;

fn lsns(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| n * STEP)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_loses_anything_for_memorys_sake() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path());
    let memory = options.memory_bytes;
    let journal = first(options);
    let mut fast = journal.reader("fast", Demand::Required, START);
    let mut slow = journal.reader("slow", Demand::Required, START);
    let mut optional = journal.reader("optional", Demand::Optional, START);
    for lsn in lsns(500) {
        soon("an append", journal.append(whole(lsn, 10, 100)))
            .await
            .expect("appended");
        assert_eq!(read(&mut fast).await, commit(lsn).to_string());
        fast.release(commit(lsn));
        assert!(journal.stats().bytes <= memory, "{:?}", journal.stats());
    }
    let stats = journal.stats();
    let slow_one = stats.readers.get(1).expect("a reader");
    assert!(!slow_one.in_memory);
    assert!(slow_one.behind_disk_bytes > 500 * 1000, "{slow_one:?}");
    let all: Vec<_> = lsns(500).map(commit).collect();
    assert!(
        read_to(&mut slow, commit(500 * STEP)).await == all,
        "everything, in order"
    );
    assert!(
        read_to(&mut optional, commit(500 * STEP)).await == all,
        "everything, in order"
    );
    journal
        .append(whole(501 * STEP, 1, 1))
        .await
        .expect("appended");
    for cursor in [&mut fast, &mut slow, &mut optional] {
        assert_eq!(read(cursor).await, commit(501 * STEP).to_string());
    }
    journal.end();
    for cursor in [&mut fast, &mut slow, &mut optional] {
        assert_eq!(read(cursor).await, "end");
    }
    journal.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_is_given_up_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    let mut cursor = journal.reader("one", Demand::Required, START);
    for lsn in lsns(500) {
        journal.append(whole(lsn, 10, 100)).await.expect("appended");
    }
    let mut seen = Vec::new();
    let mut given_up = 0;
    while seen.len() < 500 {
        let wait = Duration::from_micros(fastrand::u64(0..200));
        match timeout(wait, cursor.next()).await {
            Ok(read) => seen.push(short(&read.expect("a read"))),
            Err(_) => given_up += 1,
        }
        assert!(given_up < 1_000_000, "it gets nowhere");
    }
    let all: Vec<_> = lsns(500).map(|lsn| commit(lsn).to_string()).collect();
    assert!(seen == all, "everything, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_goes_back_as_far_as_the_disk_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    let mut cursor = journal.reader("one", Demand::Optional, START);
    for lsn in lsns(600) {
        journal.append(whole(lsn, 10, 100)).await.expect("appended");
        assert_eq!(read(&mut cursor).await, commit(lsn).to_string());
        cursor.release(commit(lsn));
    }
    for back in [1, 17, 300, 598, 599, 600, 0] {
        let lsn = back * STEP;
        cursor.rewind(commit(lsn));
        let next = if back == 600 {
            "-".into()
        } else {
            commit(lsn + STEP).to_string()
        };
        if back < 600 {
            assert_eq!(read(&mut cursor).await, next, "behind {lsn:x}");
        }
        cursor.rewind(position(lsn, 5));
        if back > 0 {
            assert_eq!(
                read(&mut cursor).await,
                commit(lsn).to_string(),
                "within {lsn:x}"
            );
        }
    }
    // From there all of it again, across the border to memory.
    cursor.rewind(commit(2 * STEP));
    let all: Vec<_> = lsns(600).skip(2).map(commit).collect();
    assert!(
        read_to(&mut cursor, commit(600 * STEP)).await == all,
        "everything, in order"
    );
    journal
        .append(whole(601 * STEP, 1, 1))
        .await
        .expect("appended");
    assert_eq!(read(&mut cursor).await, commit(601 * STEP).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_while_a_chunk_is_fetched_gets_what_it_asks_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    let mut cursor = journal.reader("one", Demand::Optional, START);
    for lsn in lsns(600) {
        journal.append(whole(lsn, 10, 100)).await.expect("appended");
    }
    for _ in 0..200 {
        let lsn = fastrand::u64(1..600) * STEP;
        cursor.rewind(commit(lsn));
        if fastrand::bool() {
            let given_up = timeout(Duration::ZERO, cursor.next()).await;
            if let Ok(read) = given_up {
                assert_eq!(
                    short(&read.expect("a read")),
                    commit(lsn + STEP).to_string()
                );
                continue;
            }
            if fastrand::bool() {
                continue;
            }
        }
        assert_eq!(read(&mut cursor).await, commit(lsn + STEP).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_far_larger_than_memory_passes_through_and_can_be_resumed_within() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    let mut cursor = journal.reader("one", Demand::Required, START);
    let lsn = STEP;
    for n in 0..1000u32 {
        let indexes = 2 + n * 10..12 + n * 10;
        soon("an append", journal.append(part(lsn, indexes, 100)))
            .await
            .expect("appended");
    }
    read_to(&mut cursor, position(lsn, 5001)).await;
    cursor.release(position(lsn, 4995));
    cursor.rewind(position(lsn, 4995));
    let Read::Frames(frames) = soon("a read", cursor.next()).await.expect("a read") else {
        panic!("no frames");
    };
    let all = rows(&frames);
    assert!(all.contains(&position(lsn, 4996)), "{all:?}");
    assert_eq!(frames.open.map(|open| open.commit_lsn), Some(Lsn(lsn)));
    read_to(&mut cursor, position(lsn, 10_001)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_at_the_end_sees_an_append_before_it_is_safe() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.sync_every = IN_VAIN;
    let journal = first(options);
    let mut cursor = journal.reader("one", Demand::Required, START);
    let waiting = tokio::spawn(async move { (read(&mut cursor).await, cursor) });
    journal.append(whole(STEP, 1, 10)).await.expect("appended");
    let (seen, mut cursor) = soon("the reader", waiting).await.expect("no panic");
    assert_eq!(seen, commit(STEP).to_string());
    assert_eq!(journal.durable().expect("a disk").get(), Lsn::ZERO);
    cursor.release(commit(STEP));
    assert_eq!(
        journal.stats().entries,
        1,
        "it is in memory until it is safe"
    );
    soon("closing", journal.close()).await.expect("closed");
    assert_eq!(journal.durable().expect("a disk").get(), Lsn(STEP + 8));
    assert_eq!(journal.stats().entries, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_at_the_end_and_is_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    let mut cursor = journal.reader("one", Demand::Required, START);
    for lsn in lsns(100) {
        journal
            .append(whole(lsn, 10, 1000))
            .await
            .expect("appended");
    }
    let far = 1000 * STEP;
    journal
        .append(Frames::progress(0, Lsn(far)))
        .await
        .expect("appended");
    durable(&journal, far).await;
    assert_eq!(read_to(&mut cursor, commit(100 * STEP)).await.len(), 100);
    assert_eq!(read(&mut cursor).await, format!("progress {}", Lsn(far)));
    journal
        .append(Frames::progress(0, Lsn(far + 1)))
        .await
        .expect("appended");
    durable(&journal, far + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_optional_reader_that_falls_off_the_disk_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.replay_bytes = 0;
    let journal = first(options);
    let mut needed = journal.reader("needed", Demand::Required, START);
    let mut slow = journal.reader("slow", Demand::Optional, START);
    for lsn in lsns(10) {
        journal
            .append(whole(lsn, 10, 1000))
            .await
            .expect("appended");
        read(&mut needed).await;
    }
    assert_eq!(read(&mut slow).await, commit(STEP).to_string());
    for lsn in lsns(600).skip(10) {
        journal
            .append(whole(lsn, 10, 1000))
            .await
            .expect("appended");
        read(&mut needed).await;
        needed.release(commit(lsn));
    }
    until(&journal, "the oldest segments go", |stats| {
        stats
            .disk
            .as_ref()
            .is_some_and(|disk| disk.oldest >= commit(300 * STEP))
    })
    .await;
    let mut read = String::new();
    let mut before = START;
    for _ in 0..600 {
        let next = soon("a read", slow.next()).await.expect("a read");
        read = short(&next);
        match next {
            Read::Frames(frames) => before = frames.last().expect("a position"),
            _ => break,
        }
    }
    // What it had fetched it may still be given; then everything up to the oldest is lost.
    let oldest = journal.stats().disk.expect("a disk").oldest;
    assert!(before < oldest);
    let lost = format!(
        "gap {}..{} sink_fell_behind",
        before.lsn(),
        Lsn(oldest.lsn().0 + 8)
    );
    assert_eq!(read, lost);
    let rest = read_to(&mut slow, commit(600 * STEP)).await;
    assert!(rest.iter().all(|position| *position > oldest));
    let kept: Vec<_> = lsns(600).map(commit).filter(|at| *at > oldest).collect();
    assert!(rest == kept, "everything that is kept");
}
