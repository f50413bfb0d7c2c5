//! A raised epoch: LSNs of the log before it say nothing about the one behind it.

use walgate_core::{Checkpoint, Lsn, Position};
use walgate_journal::segment::SegmentFacts;
use walgate_journal::{Demand, DiskJournal, Journal};

use crate::bed::{checkpoint, facts, first, options, soon, until};
use crate::runs::{STEP, part, whole};

/// Where the source of the later epoch begins.
const RESUME: Lsn = Lsn(0x10);

fn raised_facts() -> SegmentFacts {
    SegmentFacts {
        system_id: 2,
        epoch: 1,
        ..facts()
    }
}

fn raised_checkpoint() -> Checkpoint {
    let mut raised = checkpoint(RESUME);
    raised.source.system_id = 2;
    raised.source.epoch = 1;
    raised
}

async fn raise(folder: &std::path::Path) -> Journal {
    let journal = first(options(folder));
    for n in 1..=10 {
        journal
            .append(whole(n * STEP, 3, 100))
            .await
            .expect("appended");
    }
    soon("closing", journal.close()).await.expect("closed");
    drop(journal);
    let known = checkpoint(Lsn(10 * STEP + 8));
    let opened = DiskJournal::open(options(folder), Some(&known)).expect("opened");
    opened
        .start(raised_facts(), Position::new(1, RESUME, 0))
        .expect("started")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_epoch_before_is_durable_in_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = raise(folder.path()).await;
    let durable = journal.durable().expect("a disk");
    let _reader = journal.reader("one", Demand::Required, Position::new(1, RESUME, 0));
    let mut open = part(0x40, 2..10, 100);
    open.epoch = 1;
    journal.append(open).await.expect("appended");
    until(&journal, "it is written", |stats| {
        stats.disk.as_ref().is_some_and(|disk| disk.bytes > 0)
    })
    .await;
    soon("closing", journal.close()).await.expect("closed");
    assert!(durable.get() <= RESUME, "{}", durable.get());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_before_anything_came_leaves_no_tail_of_the_epoch_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = raise(folder.path()).await;
    let durable = journal.durable().expect("a disk");
    soon("closing", journal.close()).await.expect("closed");
    assert!(durable.get() <= RESUME, "{}", durable.get());
    drop(journal);
    let known = raised_checkpoint();
    let opened = DiskJournal::open(options(folder.path()), Some(&known)).expect("opened");
    assert!(
        opened.tail().is_none_or(|tail| tail <= RESUME),
        "{:?} {:?}",
        opened.tail(),
        opened.newest()
    );
}
