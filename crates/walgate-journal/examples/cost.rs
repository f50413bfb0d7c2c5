//! What the disk costs: appends and reads a million rows with and without it.
//!
//! `cargo run --release -p walgate-journal --example cost [ROWS] [BYTES A ROW] [FOLDER]`
#![expect(clippy::expect_used, reason = "a measurement that can't go on says so")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, Scalar, Shape, Transaction,
};
use walgate_journal::segment::SegmentFacts;
use walgate_journal::{DEFAULT_BUDGET_BYTES, Demand, DiskJournal, DiskOptions, Journal, Read};
use walgate_pgoutput::{Dialect, Message, ReplicaIdentity};

/// Rows of a run: what a read of 64 KiB from the server holds.
const RUN_ROWS: u32 = 500;

/// User and system time of this process in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse().expect("ticks"))
        .collect();
    ticks.iter().sum::<u64>() as f64 / 100.0
}

fn relation() -> Arc<Relation> {
    Arc::new(Relation {
        oid: 1,
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        identity: ReplicaIdentity::Default,
        columns: vec![Column {
            name: "id".to_owned(),
            type_oid: 20,
            type_name: String::new(),
            typmod: -1,
            key: true,
            shape: Shape::Scalar(Scalar::Text),
        }],
        primary_key: Vec::new(),
    })
}

/// A transaction of [`RUN_ROWS`] rows.
fn run(lsn: u64, row: &Bytes, relation: &Arc<Relation>) -> Frames {
    let mut bytes = BytesMut::with_capacity(RUN_ROWS as usize * row.len() + 128);
    let mut frames = Vec::with_capacity(RUN_ROWS as usize + 2);
    let transaction = Transaction {
        xid: 7,
        commit_lsn: Lsn(lsn),
        commit_time: PgMicros(0),
    };
    let mut frame = |kind, index, write: &mut dyn FnMut(&mut BytesMut)| {
        let start = bytes.len();
        write(&mut bytes);
        frames.push(Frame {
            kind,
            relation: 0,
            index,
            start: start as u32,
            len: (bytes.len() - start) as u32,
        });
    };
    frame(FrameKind::Begin, Position::BEGIN, &mut |bytes| {
        let begin = Message::Begin {
            final_lsn: transaction.commit_lsn,
            commit_time: transaction.commit_time,
            xid: transaction.xid,
        };
        begin.encode(Dialect::default(), bytes).expect("a begin");
    });
    for index in 2..2 + RUN_ROWS {
        frame(FrameKind::Insert, index, &mut |bytes| bytes.put_slice(row));
    }
    frame(FrameKind::Commit, Position::COMMIT, &mut |bytes| {
        let commit = Message::Commit {
            flags: 0,
            commit_lsn: transaction.commit_lsn,
            end_lsn: Lsn(lsn + 8),
            commit_time: transaction.commit_time,
        };
        commit.encode(Dialect::default(), bytes).expect("a commit");
    });
    let bytes = bytes.freeze();
    Frames {
        pinned: bytes.len(),
        bytes,
        frames,
        relations: vec![Arc::clone(relation)],
        truncated: Vec::new(),
        open: None,
        epoch: 0,
        progress: None,
    }
}

async fn measure(name: &str, journal: &Journal, rows: u32, row: Bytes) {
    let mut cursor = journal.reader("one", Demand::Required, Position::ZERO);
    let (cpu, since) = (cpu_seconds(), Instant::now());
    let appending = journal.clone();
    let row_bytes = row.len();
    let writer = tokio::spawn(async move {
        let relation = relation();
        for n in 1..=u64::from(rows / RUN_ROWS) {
            let frames = run(n * 0x10000, &row, &relation);
            appending.append(frames).await.expect("appended");
        }
        appending.end();
    });
    let mut read_rows = 0;
    loop {
        match cursor.next().await.expect("a read") {
            Read::Frames(frames) => {
                read_rows += frames.frames.len() - 2;
                cursor.release(frames.last().expect("a position"));
            }
            Read::Progress(_) => {}
            Read::Gap(gap) => panic!("{gap:?}"),
            Read::End => break,
        }
    }
    writer.await.expect("no panic");
    journal.close().await.expect("closed");
    let (cpu, wall) = (cpu_seconds() - cpu, since.elapsed().as_secs_f64());
    assert_eq!(read_rows, rows as usize);
    let mib = f64::from(rows) * row_bytes as f64 / f64::from(1 << 20);
    let line = format!(
        "{name:28} {cpu:6.2} CPU-s {wall:6.2} s {:9.0} rows/s {:7.0} MiB/s\n",
        f64::from(rows) / wall,
        mib / wall
    );
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("written");
}

/// A second reader reads everything from disk.
async fn measure_lagging(journal: &Journal, rows: u32) {
    let mut cursor = journal.reader("late", Demand::Optional, Position::ZERO);
    let (cpu, since) = (cpu_seconds(), Instant::now());
    let mut read_rows = 0;
    let mut bytes = 0;
    while let Read::Frames(frames) = cursor.next().await.expect("a read") {
        read_rows += frames.frames.len() - 2;
        bytes += frames.bytes.len();
    }
    assert_eq!(read_rows, rows as usize);
    let (cpu, wall) = (cpu_seconds() - cpu, since.elapsed().as_secs_f64());
    let line = format!(
        "{:28} {cpu:6.2} CPU-s {wall:6.2} s {:9.0} rows/s {:7.0} MiB/s\n",
        "read back from disk",
        f64::from(rows) / wall,
        bytes as f64 / f64::from(1 << 20) / wall
    );
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("written");
}

fn facts() -> SegmentFacts {
    SegmentFacts {
        system_id: 1,
        timeline: 1,
        epoch: 0,
        slot: "walgate".to_owned(),
        dialect: Dialect::default(),
        server_version: "17".to_owned(),
        settings: Vec::new(),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (rows, row_bytes) = (number(1_000_000), number(130));
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let row = Bytes::from(vec![b'x'; row_bytes as usize]);
        for _ in 0..3 {
            let journal = Journal::in_memory(DEFAULT_BUDGET_BYTES, Position::ZERO);
            measure("in memory", &journal, rows, row.clone()).await;
            let folder = tempfile::tempdir_in(&folder).expect("a folder");
            let open = || {
                let options = DiskOptions {
                    replay_bytes: u64::MAX,
                    keep_free_percent: 0,
                    ..DiskOptions::new(folder.path())
                };
                DiskJournal::open(options, None).expect("opened")
            };
            let journal = open().start(facts(), Position::ZERO).expect("started");
            measure("on disk", &journal, rows, row.clone()).await;
            measure_lagging(&journal, rows).await;
        }
    });
}
