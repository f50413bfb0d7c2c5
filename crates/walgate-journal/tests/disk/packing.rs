//! The thread that compresses, beside the one that writes.

use std::time::{Duration, Instant};

use walgate_core::{Lsn, Position};
use walgate_journal::log::LogView;
use walgate_journal::segment::{Compression, Keyring};
use walgate_journal::storage::{Folder, Keyed};
use walgate_journal::{Demand, DiskJournal, DiskOptions, Journal};

use crate::bed::{IN_VAIN, KIB, checkpoint, durable, facts, first, options, read_to, soon, until};
use crate::runs::{STEP, commit, whole};

const LAST: u64 = 400 * STEP;

fn sealed(folder: &std::path::Path) -> DiskOptions {
    DiskOptions {
        segment_bytes: 16 * KIB,
        compression: Compression::Zstd,
        keys: Keyring::parse(&"a7".repeat(32)).expect("a key"),
        ..options(folder)
    }
}

async fn append(journal: &Journal, lsns: impl Iterator<Item = u64>) {
    for lsn in lsns {
        soon("an append", journal.append(whole(lsn, 10, 100)))
            .await
            .expect("appended");
    }
}

/// Waits until the folder holds no more than so many bytes.
async fn until_small(journal: &Journal, bytes: u64) {
    let since = Instant::now();
    while journal.stats().disk.expect("a disk").bytes > bytes {
        assert!(since.elapsed() < IN_VAIN, "{:?}", journal.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_segments_shrink_while_a_reader_reads_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = first(sealed(folder.path()));
    let mut slow = journal.reader("slow", Demand::Required, Position::ZERO);
    append(&journal, (1..=200).map(|number| number * STEP)).await;
    let begun = read_to(&mut slow, commit(20 * STEP)).await;
    append(&journal, (201..=400).map(|number| number * STEP)).await;
    durable(&journal, LAST).await;
    // About 600 KiB of rows, which are all alike.
    until_small(&journal, 120 * KIB).await;
    let rest = read_to(&mut slow, commit(LAST)).await;
    assert_eq!(begun.len() + rest.len(), 400);
    journal.end();
    soon("closing", journal.close()).await.expect("closed");
    drop(slow);
    drop(journal);
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|name| !name.to_string_lossy().ends_with(".copy")),
        "{names:?}"
    );
    let disk = DiskJournal::open(sealed(folder.path()), Some(&checkpoint(Lsn(LAST))));
    let journal = disk
        .expect("opened")
        .start(facts(), Position::new(0, Lsn(LAST + 8), 0))
        .expect("started");
    let mut again = journal.reader("again", Demand::Optional, Position::ZERO);
    assert_eq!(read_to(&mut again, commit(LAST)).await.len(), 400);
}

#[tokio::test]
async fn a_journal_that_ends_does_not_wait_for_the_rest_to_be_compressed() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = sealed(folder.path());
    let keys = options.keys.clone();
    let journal = first(options);
    append(&journal, (1..=400).map(|number| number * STEP)).await;
    journal.end();
    soon("closing", journal.close()).await.expect("closed");
    drop(journal);
    let read_only = Folder::read_only(folder.path()).expect("a folder");
    let storage = Keyed::new(std::sync::Arc::new(read_only), keys);
    let view = LogView::offline(std::sync::Arc::new(storage)).expect("opened");
    let verified = view.verify().expect("verified");
    assert_eq!((verified.damaged.len(), verified.entries), (0, 400));
}

/// It was sealed by the stop, or was written before compression was configured.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_start_has_left_is_compressed_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let plain = DiskOptions {
        compression: Compression::None,
        ..sealed(folder.path())
    };
    let journal = first(plain);
    append(&journal, (1..=100).map(|number| number * STEP)).await;
    journal.end();
    soon("closing", journal.close()).await.expect("closed");
    drop(journal);
    let disk = DiskJournal::open(sealed(folder.path()), Some(&checkpoint(Lsn(100 * STEP))));
    let journal = disk
        .expect("opened")
        .start(facts(), Position::new(0, Lsn(100 * STEP + 8), 0))
        .expect("started");
    let catalogue = journal.view().expect("a disk").catalogue();
    let before = catalogue.len() - 1;
    assert!(before > 3, "{before} segments");
    until(&journal, "all are compressed", |_| {
        let segments = catalogue.segments();
        let packed = segments.iter().filter(|one| one.packed_from.is_some());
        packed.count() == before
    })
    .await;
    let mut again = journal.reader("again", Demand::Optional, Position::ZERO);
    assert_eq!(read_to(&mut again, commit(100 * STEP)).await.len(), 100);
}
