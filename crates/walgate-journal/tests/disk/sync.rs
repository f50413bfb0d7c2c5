//! What a failed fsync means.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use walgate_core::{Lsn, Position, StopReason};
use walgate_journal::storage::{Call, Fault, SimulatedDisk, When};
use walgate_journal::{Demand, DiskJournal};

use crate::bed::{
    checkpoint, durable, facts, failed, first_on, read, read_to, simulated, soon, until,
};
use crate::runs::{STEP, commit, whole};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_ends_everything_and_is_not_tried_again() {
    let disk = SimulatedDisk::new(1);
    let journal = first_on(&disk, simulated());
    let mut reader = journal.reader("one", Demand::Required, Position::ZERO);
    for n in 1..=20 {
        journal
            .append(whole(n * STEP, 10, 100))
            .await
            .expect("appended");
        read(&mut reader).await;
    }
    durable(&journal, 20 * STEP).await;
    let waiting = tokio::spawn(async move { soon("the failure", reader.next()).await });
    let fault = |call| Fault {
        call,
        error: ErrorKind::Other,
        when: When::Next,
    };
    disk.fail(fault(Call::Sync));
    let appended = journal.append(whole(21 * STEP, 10, 100)).await;
    appended.expect("nobody knows yet");
    soon("the failure", async {
        while journal.failure().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let failure = failed(journal.append(whole(22 * STEP, 10, 100)).await);
    assert_eq!(failure.reason, StopReason::State);
    assert!(failure.message.contains("/simulated"), "{failure}");
    assert!(failure.hint.is_some());
    // It has read the last run, or not; then it is told.
    let read = waiting.await.expect("no panic");
    if let Err(told) = read {
        assert_eq!(told, failure);
    }
    assert_eq!(failed(soon("closing", journal.close()).await), failure);
    assert_eq!(journal.durable().expect("a disk").get(), Lsn(20 * STEP + 8));
    drop(journal);

    // What is above the confirmed is not trusted any more.
    let confirmed = Lsn(10 * STEP + 8);
    let opened = DiskJournal::open_on(
        Arc::new(disk.kill()),
        simulated(),
        Some(&checkpoint(confirmed)),
    )
    .expect("opened");
    assert_eq!(opened.tail(), Some(confirmed));
    let journal = opened
        .start(facts(), Position::new(0, confirmed, 0))
        .expect("started");
    let mut reader = journal.reader("one", Demand::Required, Position::ZERO);
    journal
        .append(whole(11 * STEP, 10, 100))
        .await
        .expect("appended");
    assert_eq!(read_to(&mut reader, commit(11 * STEP)).await.len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_and_readers_that_wait_are_told_of_a_failed_fsync() {
    let disk = SimulatedDisk::new(2);
    let mut options = simulated();
    options.sync_every = Duration::from_secs(1);
    let journal = first_on(&disk, options);
    let mut reader = journal.reader("one", Demand::Required, Position::ZERO);
    let waiting = tokio::spawn(async move {
        loop {
            if let Err(failure) = soon("the failure", reader.next()).await {
                return failure;
            }
        }
    });
    disk.fail(Fault {
        call: Call::Sync,
        error: ErrorKind::Other,
        when: When::Always,
    });
    // More than memory holds: one of these waits for the sync that fails.
    let mut n = 1;
    let told = loop {
        if let Err(failure) = soon("an append", journal.append(whole(n * STEP, 10, 1000))).await {
            break failure;
        }
        n += 1;
    };
    assert_eq!(waiting.await.expect("no panic"), told);
    until(&journal, "stats go on", |stats| stats.disk.is_some()).await;
}
