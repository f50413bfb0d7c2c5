//! What is there again after the end, a kill and a power cut.

use std::sync::Arc;

use walgate_core::{Lsn, Position};
use walgate_journal::storage::SimulatedDisk;
use walgate_journal::{Cursor, Demand, DiskJournal, Journal};

use crate::bed::{
    checkpoint, durable, facts, failed, first, first_on, options, read, read_to, simulated, soon,
};
use crate::runs::{STEP, commit, part, whole};

const START: Position = Position::ZERO;

async fn append(journal: &Journal, lsns: std::ops::RangeInclusive<u64>) {
    for n in lsns {
        soon("an append", journal.append(whole(n * STEP, 10, 100)))
            .await
            .expect("appended");
    }
}

fn at(lsn: Lsn) -> Position {
    Position::new(0, lsn, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ended_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..3u64 {
        let opened = DiskJournal::open(
            options(folder.path()),
            (round > 0).then(|| checkpoint(Lsn(STEP))).as_ref(),
        )
        .expect("opened");
        let tail = opened.tail().unwrap_or_default();
        let end = round * 300 * STEP;
        assert_eq!(tail, if round > 0 { Lsn(end + 8) } else { Lsn::ZERO });
        assert_eq!(opened.newest().is_some(), round > 0);
        let journal = opened.start(facts(), at(tail)).expect("started");
        assert_eq!(journal.durable().expect("a disk").get(), tail);
        let mut old = journal.reader("old", Demand::Optional, commit(STEP));
        let mut new = journal.reader("new", Demand::Required, at(tail));
        append(&journal, round * 300 + 1..=round * 300 + 300).await;
        let last = commit((round + 1) * 300 * STEP);
        assert_eq!(read_to(&mut new, last).await.len(), 300);
        // A reader that is ahead of the log reads what comes all the same.
        let first = if round == 0 { 1 } else { 2 };
        let all: Vec<_> = (first..=(round + 1) * 300)
            .map(|n| commit(n * STEP))
            .collect();
        assert!(read_to(&mut old, last).await == all, "round {round}");
        soon("closing", journal.close()).await.expect("closed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_is_dropped_gives_its_folder_back_and_keeps_what_was_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    append(&journal, 1..=100).await;
    durable(&journal, 100 * STEP).await;
    append(&journal, 101..=150).await;
    drop(journal);
    let opened = DiskJournal::open(options(folder.path()), Some(&checkpoint(Lsn(STEP))));
    let tail = opened.expect("opened").tail().expect("a tail");
    assert!(
        (Lsn(100 * STEP + 8)..=Lsn(150 * STEP + 8)).contains(&tail),
        "{tail}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_durable_survives_kills_and_power_cuts() {
    for seed in 0..20 {
        let mut disk = SimulatedDisk::new(seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut confirmed = Lsn::ZERO;
        let mut next = 1;
        for round in 0..6 {
            let known = (round > 0).then(|| checkpoint(confirmed));
            let opened = DiskJournal::open_on(Arc::new(disk.clone()), simulated(), known.as_ref())
                .expect("opened");
            let tail = opened.tail().unwrap_or_default();
            assert!(
                tail >= confirmed,
                "seed {seed}, round {round}: {tail} {confirmed}"
            );
            // The source sends again what is not there.
            next = next.min(tail.0 / STEP + 1);
            let journal = opened.start(facts(), at(tail)).expect("started");
            let mut reader = journal.reader("one", Demand::Required, START);
            let count = random.u64(1..200);
            append(&journal, next..=next + count).await;
            next += count + 1;
            if random.bool() {
                let until = random.u64(next - count..=next) - 1;
                durable(&journal, until * STEP).await;
            }
            confirmed = journal.durable().expect("a disk").get();
            let all: Vec<_> = (1..next).map(|n| commit(n * STEP)).collect();
            let mut seen = read_to(&mut reader, commit((next - 1) * STEP)).await;
            // What a crash has left of a later transaction is there, and comes again.
            seen.dedup();
            assert!(seen == all, "seed {seed}, round {round}");
            disk = if random.bool() {
                disk.kill()
            } else {
                disk.crash()
            };
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_was_cut_comes_again_and_is_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(options(folder.path()));
    append(&journal, 1..=3).await;
    journal
        .append(part(4 * STEP, 2..10, 100))
        .await
        .expect("appended");
    soon("closing", journal.close()).await.expect("closed");
    drop(journal);
    let known = checkpoint(Lsn(3 * STEP + 8));
    let opened = DiskJournal::open(options(folder.path()), Some(&known)).expect("opened");
    let tail = opened.tail().expect("a tail");
    assert_eq!(tail, Lsn(3 * STEP + 8));
    let journal = opened.start(facts(), at(tail)).expect("started");
    let mut reader = journal.reader("one", Demand::Required, commit(2 * STEP));
    append(&journal, 4..=5).await;
    let seen = read_to(&mut reader, commit(5 * STEP)).await;
    let cut = Position::new(0, Lsn(4 * STEP), 9);
    assert_eq!(
        seen,
        [commit(3 * STEP), cut, commit(4 * STEP), commit(5 * STEP)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_behind_a_crash_is_a_gap_for_those_who_lag() {
    let disk = SimulatedDisk::new(7);
    let journal = first_on(&disk, simulated());
    append(&journal, 1..=100).await;
    soon("closing", journal.close()).await.expect("closed");
    let mut disk = disk.kill();
    // The sinks were ahead of the disk: the slot was told so.
    let start = Lsn(200 * STEP);
    let gap = format!("gap {}..{start} journal_damaged", Lsn(100 * STEP));
    let open = |disk: &SimulatedDisk, confirmed| {
        let disk = Arc::new(disk.clone());
        DiskJournal::open_on(disk, simulated(), Some(&checkpoint(confirmed)))
            .expect("opened")
            .start(facts(), at(confirmed))
            .expect("started")
    };
    let journal = open(&disk, start);
    let mut ahead = journal.reader("ahead", Demand::Required, at(start));
    let mut behind = journal.reader("behind", Demand::Optional, commit(98 * STEP));
    let mut far_behind = journal.reader("far behind", Demand::Optional, commit(98 * STEP));
    let mut needs_it = journal.reader("needs it", Demand::Required, commit(98 * STEP));
    append(&journal, 200..=210).await;
    assert_eq!(read(&mut ahead).await, commit(200 * STEP).to_string());
    for cursor in [&mut behind, &mut needs_it] {
        for n in [99, 100] {
            assert_eq!(read(cursor).await, commit(n * STEP).to_string());
        }
    }
    assert_eq!(read(&mut behind).await, gap);
    assert_eq!(read_to(&mut behind, commit(210 * STEP)).await.len(), 11);
    for _ in 0..2 {
        let failure = failed(soon("a read", needs_it.next()).await);
        assert!(failure.message.contains("/simulated"), "{failure}");
    }
    drop(needs_it);
    // The same across what is on disk by now, and in the runs to come.
    append(&journal, 211..=300).await;
    let mut before = read_two(&mut far_behind).await;
    assert_eq!(read(&mut far_behind).await, gap);
    assert_eq!(
        read_to(&mut far_behind, commit(300 * STEP)).await.len(),
        101
    );
    soon("closing", journal.close()).await.expect("closed");
    disk = disk.kill();
    let journal = open(&disk, Lsn(300 * STEP + 8));
    let mut late = journal.reader("late", Demand::Optional, commit(98 * STEP));
    before.extend(read_two(&mut late).await);
    assert_eq!(read(&mut late).await, gap);
    assert_eq!(read_to(&mut late, commit(300 * STEP)).await.len(), 101);
    let two = [99, 100].map(|n| commit(n * STEP).to_string());
    assert_eq!(before, [two.clone(), two].concat());
}

async fn read_two(cursor: &mut Cursor) -> Vec<String> {
    vec![read(cursor).await, read(cursor).await]
}
