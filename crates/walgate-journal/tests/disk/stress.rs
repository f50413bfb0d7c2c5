//! Readers of all kinds under load, on whatever memory, segments and timing chance gives.

use std::time::Duration;

use fastrand::Rng;
use walgate_core::Position;
use walgate_journal::segment::{Compression, Keyring};
use walgate_journal::{Cursor, Demand, Journal, Read};

use crate::bed::{IN_VAIN, KIB, first, options, soon};
use crate::runs::{STEP, commit, part, rows, whole};

const RUNS: u64 = 2000;

/// Reads everything to the end, at a speed and with rewinds that chance gives. Every row has to
/// come, in order, but for what a rewind repeats.
async fn read_all(mut cursor: Cursor, mut random: Rng) -> u64 {
    let mut last = Position::ZERO;
    // What was released, and the last row at or before it.
    let mut released = (Position::ZERO, Position::ZERO);
    let mut seen = 0;
    let pause = random.u64(0..3);
    loop {
        if random.u32(0..200) == 0 {
            tokio::time::sleep(Duration::from_millis(random.u64(0..20) * pause)).await;
        }
        if random.u32(0..300) == 0 {
            cursor.rewind(released.0);
            last = released.1;
        }
        let wait = if random.u32(0..20) == 0 {
            Duration::ZERO
        } else {
            IN_VAIN
        };
        let Ok(read) = tokio::time::timeout(wait, cursor.next()).await else {
            assert!(wait.is_zero(), "waited in vain behind {last}");
            continue;
        };
        match read.expect("a read") {
            Read::Frames(frames) => {
                let at = frames.last().expect("a position");
                for row in rows(&frames) {
                    if row <= last {
                        continue;
                    }
                    let next = (last.lsn() == row.lsn() && row.index() == last.index() + 1)
                        || (row.index() == 2 && row.lsn().0 == last.lsn().0 + STEP);
                    assert!(next, "{row} behind {last}");
                    last = row;
                    seen += 1;
                }
                let upto = match at.index() {
                    Position::COMMIT => at,
                    _ => last,
                };
                if random.bool() && upto > released.0 {
                    released = (upto, last);
                    cursor.release(upto);
                }
            }
            Read::Progress(_) => {}
            Read::Gap(gap) => panic!("{gap:?}"),
            Read::End => return seen,
        }
    }
}

async fn append_all(journal: &Journal, mut random: Rng) {
    let mut lsn = STEP;
    let mut run = 0;
    while run < RUNS {
        if random.u32(0..10) == 0 {
            // In parts, the last of which is the end as far as these readers go.
            let mut index = 2;
            for _ in 0..random.u32(1..30) {
                let rows = random.u32(1..20);
                let frames = part(lsn, index..index + rows, random.usize(0..200));
                soon("an append", journal.append(frames))
                    .await
                    .expect("appended");
                index += rows;
                run += 1;
            }
        } else {
            let frames = whole(lsn, random.u32(1..30), random.usize(0..200));
            soon("an append", journal.append(frames))
                .await
                .expect("appended");
            run += 1;
        }
        if random.u32(0..200) == 0 {
            tokio::time::sleep(Duration::from_millis(random.u64(0..10))).await;
        }
        lsn += STEP;
    }
    soon("an append", journal.append(whole(lsn, 1, 1)))
        .await
        .expect("appended");
}

async fn run(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.memory_bytes = random.usize(1 << 10..256 << 10);
    options.segment_bytes = random.u64(4 * KIB..128 * KIB);
    options.sync_every = Duration::from_millis(random.u64(0..20));
    options.sync_bytes = random.u64(KIB..256 * KIB);
    if random.bool() {
        // What is released goes at once, and at times the readers hold the journal.
        options.replay_bytes = 0;
        options.budget_bytes = Some(random.u64(4..16) * options.segment_bytes + 2048 * KIB);
    }
    if seed.is_multiple_of(2) {
        options.compression = Compression::Zstd;
    }
    if seed % 4 < 2 {
        options.keys = Keyring::parse(&"5e".repeat(32)).expect("a key");
    }
    let journal = first(options);
    let demand = |n: u32| match n {
        0 => Demand::Optional,
        _ => Demand::Required,
    };
    let limited = journal.stats().disk.expect("a disk").budget_bytes < 1 << 30;
    let first = u32::from(limited);
    let readers: Vec<_> = (first..6)
        .map(|n| {
            let cursor = journal.reader(format!("reader {n}"), demand(n), Position::ZERO);
            tokio::spawn(read_all(cursor, random.fork()))
        })
        .collect();
    append_all(&journal, random.fork()).await;
    journal.end();
    let mut seen = Vec::new();
    for reader in readers {
        seen.push(reader.await.expect("no panic"));
    }
    assert!(seen.iter().all(|count| *count >= RUNS), "{seen:?}");
    soon("closing", journal.close()).await.expect("closed");
    if limited {
        // Who has left without releasing the end holds it, and an end does not wait for room.
        return;
    }
    assert_eq!(journal.stats().bytes, 0);
    let tail = journal.durable().expect("a disk").get();
    assert!(tail.0 % STEP == 8, "{tail}: {}", commit(tail.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_reads_everything_under_load() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..8).collect::<Vec<u64>>(),
    };
    for seed in seeds {
        let one = tokio::spawn(run(seed)).await;
        assert!(one.is_ok(), "SEED={seed}: {one:?}");
    }
}
