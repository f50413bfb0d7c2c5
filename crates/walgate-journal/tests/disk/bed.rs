//! Where the tests lie: a journal on a disk, and readers that check what they read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use walgate_core::{Checkpoint, Failure, Lsn, Position, SourceIdentity};
use walgate_journal::segment::SegmentFacts;
use walgate_journal::storage::SimulatedDisk;
use walgate_journal::{Cursor, DiskJournal, DiskOptions, Journal, JournalStats, Read};
use walgate_pgoutput::Dialect;

use crate::runs::rows;

/// Nothing here takes long; a test that waits this long waits in vain.
pub(crate) const IN_VAIN: Duration = Duration::from_secs(60);

pub(crate) const KIB: u64 = 1 << 10;

/// Small segments and little memory, so that little data goes through everything.
pub(crate) fn options(folder: &Path) -> DiskOptions {
    DiskOptions {
        segment_bytes: 64 * KIB,
        sync_every: Duration::from_millis(5),
        budget_bytes: Some(1 << 30),
        keep_free_percent: 0,
        memory_bytes: 32 << 10,
        ..DiskOptions::new(folder)
    }
}

/// For a simulated disk, where the folder is only a name.
pub(crate) fn simulated() -> DiskOptions {
    options(Path::new("/simulated"))
}

pub(crate) fn facts() -> SegmentFacts {
    SegmentFacts {
        system_id: 1,
        timeline: 1,
        epoch: 0,
        slot: "walgate".to_owned(),
        dialect: Dialect::default(),
        server_version: "17.2".to_owned(),
        settings: Vec::new(),
    }
}

pub(crate) fn checkpoint(confirmed: Lsn) -> Checkpoint {
    Checkpoint {
        source: SourceIdentity {
            system_id: 1,
            timeline: 1,
            epoch: 0,
            slot: "walgate".to_owned(),
            consistent_point: Lsn::ZERO,
            created_by_us: true,
        },
        confirmed,
        sinks: BTreeMap::new(),
        received: None,
        gaps: Vec::new(),
    }
}

/// A first journal in a folder.
pub(crate) fn first(options: DiskOptions) -> Journal {
    DiskJournal::open(options, None)
        .expect("opened")
        .start(facts(), Position::ZERO)
        .expect("started")
}

/// A first journal on a simulated disk.
pub(crate) fn first_on(disk: &SimulatedDisk, options: DiskOptions) -> Journal {
    DiskJournal::open_on(Arc::new(disk.clone()), options, None)
        .expect("opened")
        .start(facts(), Position::ZERO)
        .expect("started")
}

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match timeout(IN_VAIN, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Waits until the journal is so.
pub(crate) async fn until(journal: &Journal, what: &str, so: impl Fn(&JournalStats) -> bool) {
    let since = Instant::now();
    loop {
        let stats = journal.stats();
        if so(&stats) {
            return;
        }
        assert!(
            since.elapsed() < IN_VAIN,
            "waited in vain: {what}: {stats:#?}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until everything that commits below an LSN is durable.
pub(crate) async fn durable(journal: &Journal, lsn: u64) {
    let mark = journal.durable().expect("a disk");
    soon("durable", mark.above(Lsn(lsn.saturating_sub(1)))).await;
}

/// What is read, in short.
pub(crate) fn short(read: &Read) -> String {
    match read {
        Read::Frames(frames) => {
            rows(frames);
            frames.last().expect("a position").to_string()
        }
        Read::Progress(position) => format!("progress {}", position.lsn()),
        Read::Gap(gap) => format!("gap {}..{} {}", gap.from, gap.to, gap.reason),
        Read::End => "end".into(),
    }
}

pub(crate) async fn read(cursor: &mut Cursor) -> String {
    short(&soon("a read", cursor.next()).await.expect("a read"))
}

/// Reads frames up to and including the run that ends at `last`; returns the last positions of the
/// runs.
pub(crate) async fn read_to(cursor: &mut Cursor, last: Position) -> Vec<Position> {
    let mut seen = Vec::new();
    loop {
        match soon("a read", cursor.next()).await.expect("a read") {
            Read::Frames(frames) => {
                rows(&frames);
                let at = frames.last().expect("a position");
                seen.push(at);
                if at >= last {
                    return seen;
                }
            }
            Read::Progress(_) => {}
            other => panic!("read {} before {last}", short(&other)),
        }
    }
}

pub(crate) fn failed<T: std::fmt::Debug>(result: Result<T, Failure>) -> Failure {
    result.expect_err("it was to fail")
}
