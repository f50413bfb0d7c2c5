//! Full disks and used-up budgets.

use std::collections::BTreeMap;

use walgate_core::{Lsn, Position};
use walgate_journal::storage::SimulatedDisk;
use walgate_journal::{Cursor, Demand, DiskState, Journal, JournalStats, OnFull};

use crate::bed::{KIB, durable, first, first_on, options, read, read_to, simulated, soon, until};
use crate::runs::{STEP, commit, whole};
use crate::said::{lines, listen};

const START: Position = Position::ZERO;

/// Appends until it waits; returns the last that was appended.
async fn fill(journal: &Journal, from: u64, is_full: impl Fn(&JournalStats) -> bool) -> u64 {
    let mut n = from;
    loop {
        let append = journal.append(whole(n * STEP, 10, 1000));
        tokio::pin!(append);
        tokio::select! {
            biased;
            appended = &mut append => appended.expect("appended"),
            () = until(journal, "it is full", |stats| stats.held_back && is_full(stats)) => {
                return n - 1;
            }
        }
        n += 1;
    }
}

fn state(stats: &JournalStats) -> DiskState {
    stats.disk.as_ref().expect("a disk").state.clone()
}

async fn expect(cursor: &mut Cursor, numbers: std::ops::RangeInclusive<u64>) {
    let last = commit(numbers.end() * STEP);
    let all: Vec<_> = numbers.map(|n| commit(n * STEP)).collect();
    assert!(read_to(cursor, last).await == all, "everything, in order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_appends_until_it_has_room() {
    let disk = SimulatedDisk::new(1);
    let journal = first_on(&disk, simulated());
    let mut reader = journal.reader("one", Demand::Required, START);
    disk.set_capacity(512 * KIB);
    let last = fill(&journal, 1, |stats| state(stats) == DiskState::Full).await;
    assert!(disk.used() <= 512 * KIB);
    let safe = journal.durable().expect("a disk").get();
    assert!(safe < Lsn(last * STEP + 8), "not all of it is safe");
    expect(&mut reader, 1..=last).await;
    disk.set_capacity(1 << 40);
    durable(&journal, last * STEP).await;
    for n in last + 1..=last + 100 {
        soon("an append", journal.append(whole(n * STEP, 10, 1000)))
            .await
            .expect("appended");
    }
    expect(&mut reader, last + 1..=last + 100).await;
    reader.rewind(START);
    expect(&mut reader, 1..=last + 100).await;
    assert_eq!(state(&journal.stats()), DiskState::Works);
    soon("closing", journal.close()).await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_that_becomes_read_only_is_waited_for() {
    let disk = SimulatedDisk::new(2);
    let journal = first_on(&disk, simulated());
    for n in 1..=20 {
        journal
            .append(whole(n * STEP, 10, 100))
            .await
            .expect("appended");
    }
    durable(&journal, 20 * STEP).await;
    disk.set_read_only(true);
    let last = fill(&journal, 21, |stats| {
        matches!(state(stats), DiskState::Failing(_))
    })
    .await;
    disk.set_read_only(false);
    durable(&journal, last * STEP).await;
    let mut reader = journal.reader("one", Demand::Optional, START);
    expect(&mut reader, 1..=last).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_on_a_full_disk_does_not_wait_for_room() {
    let disk = SimulatedDisk::new(3);
    let journal = first_on(&disk, simulated());
    disk.set_capacity(256 * KIB);
    fill(&journal, 1, |stats| state(stats) == DiskState::Full).await;
    let safe = journal.durable().expect("a disk").get();
    soon("closing", journal.close()).await.expect("closed");
    assert!(journal.durable().expect("a disk").get() >= safe);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_reader_that_is_behind_holds_the_journal_at_its_budget() {
    listen();
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.budget_bytes = Some(512 * KIB);
    let journal = first(options);
    let mut fast = journal.reader("fast", Demand::Required, START);
    let mut slow = journal.reader("slow", Demand::Required, START);
    let mut lost = journal.reader("lost", Demand::Optional, START);
    let last = fill(&journal, 1, |stats| {
        stats.disk.as_ref().is_some_and(|disk| disk.full)
    })
    .await;
    expect(&mut fast, 1..=last).await;
    fast.release(commit(last * STEP));
    until(&journal, "the slow one is named", |stats| {
        stats.disk.as_ref().expect("a disk").held_by == ["slow"]
    })
    .await;
    let disk = journal.stats().disk.expect("a disk");
    assert_eq!((disk.full, disk.state), (true, DiskState::Full));
    assert!(disk.bytes <= 512 * KIB + 64 * KIB, "{}", disk.bytes);
    let here = folder.path().display().to_string();
    let warnings = lines("WARN", &here);
    assert_eq!(warnings.len(), 1, "once: {warnings:#?}");
    let warning = warnings.first().expect("one");
    assert!(warning.contains("sinks are behind"), "{warning}");
    // It goes on, and so does the journal; nobody required has lost anything.
    let half = last / 2;
    expect(&mut slow, 1..=half).await;
    slow.release(commit(half * STEP));
    for n in last + 1..=last + 10 {
        soon("an append", journal.append(whole(n * STEP, 10, 1000)))
            .await
            .expect("appended");
    }
    expect(&mut slow, half + 1..=last + 10).await;
    expect(&mut fast, last + 1..=last + 10).await;
    let gap = read(&mut lost).await;
    assert!(
        gap.starts_with("gap 0/0..") && gap.ends_with("sink_fell_behind"),
        "{gap}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_may_be_released_is_released() {
    listen();
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.budget_bytes = Some(512 * KIB);
    options.on_full = OnFull::Release(vec!["fast".to_owned(), "slow".to_owned()]);
    let journal = first(options);
    let mut fast = journal.reader("fast", Demand::Required, START);
    let mut slow = journal.reader("slow", Demand::Required, START);
    for n in 1..=200 {
        soon("an append", journal.append(whole(n * STEP, 10, 1000)))
            .await
            .expect("appended");
        assert_eq!(read(&mut fast).await, commit(n * STEP).to_string());
        fast.release(commit(n * STEP));
    }
    let demands: Vec<_> = journal
        .stats()
        .readers
        .iter()
        .map(|one| one.demand)
        .collect();
    assert_eq!(demands, [Demand::Required, Demand::Optional]);
    let errors = lines("ERROR", &folder.path().display().to_string());
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert!(
        errors.iter().all(|line| line.contains("slow")),
        "{errors:#?}"
    );
    // Nothing more is deleted while it reads.
    durable(&journal, 200 * STEP + 8).await;
    until(&journal, "there is room", |stats| {
        stats
            .disk
            .as_ref()
            .is_some_and(|disk| disk.bytes <= disk.budget_bytes)
    })
    .await;
    let gap = read(&mut slow).await;
    assert!(
        gap.starts_with("gap 0/0..") && gap.ends_with("sink_fell_behind"),
        "{gap}"
    );
    let rest = read_to(&mut slow, commit(200 * STEP)).await;
    assert!(rest.len() < 200, "{}", rest.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_required_sink_has_not_in_a_checkpoint_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.replay_bytes = 0;
    let journal = first(options);
    let mut reader = journal.reader("one", Demand::Required, START);
    let at = |n: u64| BTreeMap::from([("one".to_owned(), commit(n * STEP))]);
    journal.checkpointed(&at(1));
    for n in 1..=200 {
        journal
            .append(whole(n * STEP, 10, 1000))
            .await
            .expect("appended");
        read(&mut reader).await;
        reader.release(commit(n * STEP));
    }
    let gone = |n: u64| {
        move |stats: &JournalStats| {
            let oldest = stats.disk.as_ref().expect("a disk").oldest;
            assert!(oldest <= commit(n * STEP), "{oldest} is too much");
            oldest > commit((n - 20) * STEP)
        }
    };
    journal.checkpointed(&at(100));
    until(&journal, "a half goes", gone(100)).await;
    // A chain that has ended comes back: it holds what it has not.
    drop(reader);
    journal.checkpointed(&at(150));
    until(&journal, "more goes", gone(150)).await;
    let mut again = journal.reader("one", Demand::Required, commit(150 * STEP));
    expect(&mut again, 151..=200).await;
}

/// What it is to be given again is the first to go, before anybody is released or held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_again_gives_way_and_releases_nobody() {
    listen();
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.budget_bytes = Some(512 * KIB);
    options.replay_bytes = 0;
    options.on_full = OnFull::Release(vec!["one".to_owned()]);
    let journal = first(options);
    let mut reader = journal.reader("one", Demand::Required, START);
    let at = |n: u64| BTreeMap::from([("one".to_owned(), commit(n * STEP))]);
    let oldest = || journal.stats().disk.expect("a disk").oldest;
    journal.gives_again(&at(1));
    let mut kept = 0;
    for n in 1..=200 {
        soon("an append", journal.append(whole(n * STEP, 10, 1000)))
            .await
            .expect("appended");
        assert_eq!(read(&mut reader).await, commit(n * STEP).to_string());
        reader.release(commit(n * STEP));
        journal.checkpointed(&at(n));
        kept = kept.max(if oldest() <= commit(STEP) { n } else { 0 });
    }
    durable(&journal, 200 * STEP).await;
    assert!(kept > 20, "it is kept while there is room: {kept}");
    until(&journal, "it gives way", |stats| {
        let disk = stats.disk.as_ref().expect("a disk");
        disk.oldest > commit(STEP) && !disk.full
    })
    .await;
    assert!(oldest() < commit(160 * STEP), "no more goes than has to");
    let one = journal.stats().readers.into_iter().next().expect("one");
    assert_eq!(one.demand, Demand::Required);
    let here = folder.path().display().to_string();
    assert_eq!(lines("ERROR", &here), Vec::<String>::new());
    let warnings = lines("WARN", &here);
    assert_eq!(warnings.len(), 1, "once: {warnings:#?}");
    // Nothing is to come again any more: what is left for it goes.
    journal.gives_again(&BTreeMap::new());
    until(&journal, "the rest goes", |stats| {
        stats.disk.as_ref().expect("a disk").segments < 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_smaller_than_a_segment_is_a_budget_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = options(folder.path());
    options.segment_bytes = 64 << 20;
    options.budget_bytes = Some(512 * KIB);
    let journal = first(options);
    let mut reader = journal.reader("one", Demand::Required, START);
    for n in 1..=300 {
        soon("an append", journal.append(whole(n * STEP, 10, 1000)))
            .await
            .expect("appended");
        assert_eq!(read(&mut reader).await, commit(n * STEP).to_string());
        reader.release(commit(n * STEP));
    }
    soon("closing", journal.close()).await.expect("closed");
    let disk = journal.stats().disk.expect("a disk");
    assert!(disk.bytes <= 512 * KIB + 64 * KIB, "{}", disk.bytes);
}
