//! What readers are told of bytes that went bad.

use std::fs;
use std::path::{Path, PathBuf};

use walgate_core::{Lsn, Position};
use walgate_journal::{Cursor, Demand, DiskJournal, Journal, OnDamage, Read};

use crate::bed::{checkpoint, facts, failed, first, options, read, short, soon};
use crate::runs::{STEP, commit, whole};

/// The second segment of a journal of 300 transactions, with a byte in its middle that went bad.
async fn damaged(folder: &Path) -> PathBuf {
    let journal = first(options(folder));
    for n in 1..=300 {
        journal
            .append(whole(n * STEP, 10, 100))
            .await
            .expect("appended");
    }
    soon("closing", journal.close()).await.expect("closed");
    drop(journal);
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|one| one == "segment"))
        .collect();
    files.sort();
    let path = files.get(1).expect("segments").clone();
    let mut bytes = fs::read(&path).expect("bytes");
    *bytes.get_mut(30_000).expect("a byte") ^= 0x10;
    fs::write(&path, bytes).expect("written");
    path
}

fn reopen(folder: &Path, on_damage: OnDamage) -> (Journal, Cursor) {
    let mut options = options(folder);
    options.on_damage = on_damage;
    let confirmed = Lsn(300 * STEP + 8);
    let opened = DiskJournal::open(options, Some(&checkpoint(confirmed))).expect("opened");
    assert_eq!(opened.tail(), Some(confirmed));
    let journal = opened
        .start(facts(), Position::new(0, confirmed, 0))
        .expect("started");
    let cursor = journal.reader("one", Demand::Required, Position::ZERO);
    (journal, cursor)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_stops_a_reader_and_names_the_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = damaged(folder.path()).await;
    let (_journal, mut cursor) = reopen(folder.path(), OnDamage::Stop);
    let failure = loop {
        match soon("a read", cursor.next()).await {
            Ok(Read::Frames(_)) => {}
            other => break failed(other),
        }
    };
    let again = failed(soon("a read", cursor.next()).await);
    assert_eq!(again, failure, "it does not get around it by asking again");
    let text = failure.to_string();
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert!(failure.hint.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_a_gap_where_it_may_be() {
    let folder = tempfile::tempdir().expect("a folder");
    damaged(folder.path()).await;
    let (journal, mut cursor) = reopen(folder.path(), OnDamage::Gap);
    journal
        .append(whole(301 * STEP, 1, 1))
        .await
        .expect("appended");
    let mut seen = Vec::new();
    let mut gap = None;
    while seen.last() != Some(&commit(301 * STEP)) {
        match soon("a read", cursor.next()).await.expect("a read") {
            Read::Frames(frames) => seen.push(frames.last().expect("a position")),
            Read::Gap(lost) => assert_eq!(gap.replace(lost), None, "one gap"),
            Read::Progress(_) => {}
            Read::End => panic!("{}", read(&mut cursor).await),
        }
    }
    let gap = gap.expect("a gap");
    let said = short(&Read::Gap(gap.clone()));
    assert!(said.ends_with("journal_damaged"), "{said}");
    let lost = (1..=301)
        .map(|n| commit(n * STEP))
        .filter(|at| !seen.contains(at))
        .collect::<Vec<_>>();
    assert!((1..=250).contains(&lost.len()), "{}", lost.len());
    assert!(
        lost.iter()
            .all(|at| at.lsn() > gap.from && at.lsn() < gap.to),
        "{said} names all of {lost:?}"
    );
}
