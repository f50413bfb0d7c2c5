//! Streamed transactions in a journal that runs: adopted beside what is in memory, read from disk.

use std::io::ErrorKind;
use std::ops::Range;

use tokio::time::timeout;
use walgate_core::{
    Lsn, PgMicros, Position, Streamed, StreamedFrame, StreamedFrames, Transaction, Xid,
};
use walgate_journal::log::{Committed, Spools, Taken};
use walgate_journal::storage::{Call, Fault, SimulatedDisk, Storage, When};
use walgate_journal::{Demand, DiskJournal, DiskOptions, Journal, Read};

use crate::bed::{
    IN_VAIN, KIB, checkpoint, durable, facts, first, first_on, options, read, simulated, soon,
    until,
};
use crate::runs::{STEP, commit, part, position, relation, rows, whole};

const START: Position = Position::ZERO;

/// No memory for spools: each goes to disk at once.
fn on_disk(options: DiskOptions) -> DiskOptions {
    DiskOptions {
        spool_memory_bytes: 0,
        ..options
    }
}

fn chunk(lsn: u64, indices: Range<u32>) -> StreamedFrames {
    let frames = part(lsn, indices, 100);
    let streamed = frames.frames.iter().map(|frame| StreamedFrame {
        kind: frame.kind,
        relation: 0,
        start: frame.start,
        len: frame.len,
        sub: 7,
    });
    StreamedFrames {
        frames: streamed.collect(),
        pinned: frames.pinned,
        bytes: frames.bytes,
        truncated: Vec::new(),
    }
}

/// Streams a transaction of so many rows, with a part that is rolled back in the midst, and adopts
/// it.
fn stream(journal: &Journal, spools: &mut Spools, xid: Xid, lsn: u64, count: u32) {
    let half = 2 + count / 2;
    let mut send = |indices| {
        let frames = chunk(lsn, indices);
        let taken = spools.take(Streamed::Chunk { xid, frames });
        assert!(matches!(taken, Ok(Taken::Kept)), "{taken:?}");
    };
    for first in (2..half).step_by(50) {
        send(first..half.min(first + 50));
    }
    send(half..half + 70);
    let keep = u64::from(half - 2);
    let sub = xid + 1;
    let cut = spools.take(Streamed::AbortSub { xid, sub, keep });
    assert!(matches!(cut, Ok(Taken::Kept)), "{cut:?}");
    let frames = chunk(lsn, half..2 + count);
    let taken = spools.take(Streamed::Chunk { xid, frames });
    assert!(matches!(taken, Ok(Taken::Kept)), "{taken:?}");
    let taken = spools.take(Streamed::Commit {
        transaction: Transaction {
            xid,
            commit_lsn: Lsn(lsn),
            commit_time: PgMicros(lsn as i64),
        },
        end_lsn: Lsn(lsn + 8),
        epoch: 0,
        frames: u64::from(count),
        relations: vec![relation(1)],
    });
    match taken {
        Ok(Taken::Committed(Committed::Spool(spool))) => journal.adopt(&spool).expect("adopted"),
        other => panic!("a commit is {other:?}"),
    }
}

/// The rows that come next, up to and including the run that ends at `last`.
async fn rows_to(cursor: &mut walgate_journal::Cursor, last: Position) -> Vec<Position> {
    let mut seen = Vec::new();
    loop {
        match soon("a read", cursor.next()).await.expect("a read") {
            Read::Frames(frames) => {
                seen.extend(rows(&frames));
                if frames.last().expect("a position") >= last {
                    return seen;
                }
            }
            Read::Progress(_) => {}
            other => panic!("{other:?} before {last}"),
        }
    }
}

fn all(lsn: u64, count: u32) -> Vec<Position> {
    (2..2 + count).map(|index| position(lsn, index)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_reads_it_in_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(on_disk(options(folder.path())));
    let mut spools = journal.spools().expect("a disk");
    let mut tail = journal.reader("tail", Demand::Optional, START);
    let mut late = journal.reader("late", Demand::Required, START);
    let waiting = tokio::spawn(async move {
        let mut seen = Vec::new();
        for lsn in 1..=4 {
            seen.extend(rows_to(&mut tail, commit(lsn * STEP)).await);
        }
        seen
    });
    let (small, large) = (3, 2_000);
    for lsn in 1..=4 {
        match lsn % 2 {
            0 => stream(&journal, &mut spools, 9, lsn * STEP, large),
            _ => {
                let append = journal.append(whole(lsn * STEP, small, 100));
                soon("an append", append).await.expect("appended");
            }
        }
    }
    let mut expected = Vec::new();
    for lsn in 1..=4 {
        let count = if lsn % 2 == 0 { large } else { small };
        expected.extend(all(lsn * STEP, count));
    }
    assert!(soon("the tail", waiting).await.expect("no panic") == expected);
    durable(&journal, 4 * STEP + 8).await;
    let mut seen = Vec::new();
    for lsn in 1..=4 {
        seen.extend(rows_to(&mut late, commit(lsn * STEP)).await);
    }
    assert!(seen == expected, "who comes late reads the same");
    late.rewind(position(2 * STEP, 700));
    let again = rows_to(&mut late, commit(2 * STEP)).await;
    let behind = again.iter().filter(|at| **at > position(2 * STEP, 700));
    assert_eq!(behind.count(), large as usize - 699);
    assert_eq!(rows_to(&mut late, commit(3 * STEP)).await.len(), 3);
    let stats = journal.stats();
    assert!(
        stats.bytes <= options(folder.path()).memory_bytes,
        "{stats:?}"
    );
    journal.end();
    rows_to(&mut late, commit(4 * STEP)).await;
    assert_eq!(read(&mut late).await, "end");
    journal.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_it_and_nothing_else() {
    let disk = SimulatedDisk::new(3);
    let journal = first_on(&disk, on_disk(simulated()));
    let mut spools = journal.spools().expect("a disk");
    let frames = chunk(9 * STEP, 2..80);
    let open = spools.take(Streamed::Chunk { xid: 5, frames });
    assert!(matches!(open, Ok(Taken::Kept)), "{open:?}");
    stream(&journal, &mut spools, 9, STEP, 500);
    durable(&journal, STEP + 8).await;
    std::mem::forget(spools);
    let disk = disk.crash();
    drop(journal);
    let storage = std::sync::Arc::new(disk.clone());
    let opened = DiskJournal::open_on(storage, on_disk(simulated()), Some(&checkpoint(Lsn(0))));
    let opened = opened.expect("opened");
    assert_eq!(opened.tail(), Some(Lsn(STEP + 8)), "it is whole");
    let start = position(STEP + 8, 0);
    let journal = opened.start(facts(), start).expect("started");
    let mut reader = journal.reader("sink", Demand::Required, START);
    assert!(rows_to(&mut reader, commit(STEP)).await == all(STEP, 500));
    let names = disk.list().expect("listed");
    assert!(
        !names.iter().any(|name| name.ends_with(".spooling")),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_when_everybody_has_it() {
    let disk = SimulatedDisk::new(4);
    let journal = first_on(
        &disk,
        DiskOptions {
            replay_bytes: 0,
            ..on_disk(simulated())
        },
    );
    let mut spools = journal.spools().expect("a disk");
    let mut sink = journal.reader("sink", Demand::Required, START);
    stream(&journal, &mut spools, 9, STEP, 2_000);
    durable(&journal, STEP + 8).await;
    let disk_bytes =
        |stats: &walgate_journal::JournalStats| stats.disk.as_ref().map_or(0, |disk| disk.bytes);
    until(&journal, "it is counted", |stats| {
        disk_bytes(stats) > 200 * KIB
    })
    .await;
    rows_to(&mut sink, commit(STEP)).await;
    sink.release(commit(STEP));
    until(&journal, "it is deleted", |stats| {
        disk_bytes(stats) < 64 * KIB
    })
    .await;
    let names = disk.list().expect("listed");
    assert!(
        !names.iter().any(|name| name.contains("spool")),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_never_takes_the_reference_keeps_nobody_waiting_at_the_end() {
    let disk = SimulatedDisk::new(5);
    let journal = first_on(&disk, on_disk(simulated()));
    let mut spools = journal.spools().expect("a disk");
    let mut sink = journal.reader("sink", Demand::Required, START);
    let append = journal.append(whole(STEP, 2, 10));
    soon("an append", append).await.expect("appended");
    durable(&journal, STEP + 8).await;
    assert_eq!(read(&mut sink).await, commit(STEP).to_string());
    let fault = |call| Fault {
        call,
        error: ErrorKind::StorageFull,
        when: When::OneIn(1),
    };
    stream(&journal, &mut spools, 9, 2 * STEP, 300);
    disk.fail(fault(Call::Write));
    disk.fail(fault(Call::Create));
    journal.end();
    // Whichever was first: it is there, or comes from the slot again.
    let ended = timeout(IN_VAIN, async {
        loop {
            if matches!(sink.next().await.expect("a read"), Read::End) {
                return;
            }
        }
    });
    ended.await.expect("it ends");
    journal.close().await.expect("closed");
}

/// Whoever would read its end must not wait for the disk that it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_one_that_takes_the_disk_keeps_nobody_waiting() {
    const KEEP_FREE: u64 = 40;
    let disk = SimulatedDisk::new(6);
    disk.set_capacity(1 << 20);
    let journal = first_on(
        &disk,
        DiskOptions {
            keep_free_percent: KEEP_FREE as u8,
            // So little that it looks for room each time.
            budget_bytes: Some(80 * KIB),
            segment_bytes: 16 * KIB,
            spool_bytes: Some(1 << 30),
            ..on_disk(simulated())
        },
    );
    let mut spools = journal.spools().expect("a disk");
    let free = || disk.space().expect("space").available;
    let keep = (1 << 20) / 100 * KEEP_FREE;
    let mut first = 2;
    // Less is left than one segment takes, however many are deleted.
    while free() > keep + 3 * KIB {
        let frames = chunk(9 * STEP, first..first + 10);
        let taken = spools.take(Streamed::Chunk { xid: 9, frames });
        assert!(matches!(taken, Ok(Taken::Kept)), "{taken:?}");
        first += 10;
    }
    for lsn in 1..=20 {
        let append = journal.append(whole(lsn * STEP, 100, 100));
        soon("an append", append).await.expect("appended");
    }
    durable(&journal, 20 * STEP + 8).await;
    assert!(free() < keep);
    let aborted = spools.take(Streamed::Abort { xid: 9 });
    assert!(matches!(aborted, Ok(Taken::Kept)), "{aborted:?}");
    assert!(free() > keep);
}
