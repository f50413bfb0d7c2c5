//! What the disk costs: appends and reads a million rows with and without it, and starts with a
//! journal of 10 GiB.
//!
//! `cargo run --release -p walgate-journal --example cost [ROWS] [BYTES A ROW] [FOLDER]`
#![expect(clippy::expect_used, reason = "a measurement that can't go on says so")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use walgate_core::{
    Checkpoint, Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, Scalar, Shape,
    SourceIdentity, Transaction,
};
use walgate_journal::segment::{
    Definitions, SegmentFacts, SegmentHeader, SegmentIndex, SegmentWriter,
};
use walgate_journal::{DEFAULT_BUDGET_BYTES, Demand, DiskJournal, DiskOptions, Journal, Read};
use walgate_pgoutput::{Dialect, Message, ReplicaIdentity};

/// Rows of a run: what a read of 64 KiB from the server holds.
const RUN_ROWS: u32 = 500;

/// Transactions of which the latency is measured, five in a millisecond.
const LATENCY_RUNS: u64 = 10_000;

/// The journal that is started with: 10 GiB, in segments of the default size.
const START_SEGMENTS: u64 = 160;
const SEGMENT_BYTES: u64 = 64 << 20;

/// User and system time of this process in seconds.
fn cpu_seconds() -> [f64; 2] {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let mut ticks = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<u32>().expect("ticks"));
    [(); 2].map(|()| f64::from(ticks.next().expect("ticks")) / 100.0)
}

/// Says what so many rows have cost since then.
fn say(name: &str, rows: u32, bytes: usize, since: Instant, before: [f64; 2]) {
    let wall = since.elapsed().as_secs_f64();
    let [user, system] = cpu_seconds();
    let (user, system) = (user - before[0], system - before[1]);
    let line = format!(
        "{name:20} {:5.2} CPU-s (user {user:4.2}, system {system:4.2}) {wall:6.2} s {:9.0} rows/s {:6.0} MiB/s\n",
        user + system,
        f64::from(rows) / wall,
        bytes as f64 / f64::from(1 << 20) / wall
    );
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("written");
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

/// A transaction.
fn run(lsn: u64, rows: u32, row: &Bytes, relation: &Arc<Relation>) -> Frames {
    let mut bytes = BytesMut::with_capacity(rows as usize * row.len() + 128);
    let mut frames = Vec::with_capacity(rows as usize + 2);
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
    for index in 2..2 + rows {
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
            let frames = run(n * 0x10000, RUN_ROWS, &row, &relation);
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
    assert_eq!(read_rows, rows as usize);
    say(name, rows, rows as usize * row_bytes, since, cpu);
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
    say("read back from disk", rows, bytes, since, cpu);
}

/// From an append to the read of a reader at the end, at some thousand transactions a second.
async fn measure_latency(name: &str, journal: &Journal, row: Bytes) {
    let mut cursor = journal.reader("one", Demand::Required, Position::ZERO);
    let appending = journal.clone();
    let (send, mut sent) = tokio::sync::mpsc::unbounded_channel();
    let writer = tokio::spawn(async move {
        let relation = relation();
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        for n in 1..=LATENCY_RUNS {
            if n % 5 == 0 {
                tick.tick().await;
            }
            let frames = run(n * 0x10000, 1, &row, &relation);
            send.send(Instant::now()).expect("a reader");
            appending.append(frames).await.expect("appended");
        }
        appending.end();
    });
    let mut micros = Vec::new();
    while let Read::Frames(frames) = cursor.next().await.expect("a read") {
        let sent = sent.recv().await.expect("sent before");
        micros.push(sent.elapsed().as_micros());
        cursor.release(frames.last().expect("a position"));
    }
    writer.await.expect("no panic");
    journal.close().await.expect("closed");
    micros.sort_unstable();
    let at = |part: usize| micros.get(micros.len() * part / 1000).expect("some");
    let line = format!(
        "{name:20} latency p50 {} us, p99 {} us, p99.9 {} us\n",
        at(500),
        at(990),
        at(999)
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

/// A new journal in a folder of its own.
fn fresh(within: &Path) -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir_in(within).expect("a folder");
    let options = DiskOptions {
        replay_bytes: u64::MAX,
        keep_free_percent: 0,
        ..DiskOptions::new(folder.path())
    };
    let opened = DiskJournal::open(options, None).expect("opened");
    let journal = opened.start(facts(), Position::ZERO).expect("started");
    (folder, journal)
}

/// A journal of so many full segments.
struct Full {
    folder: tempfile::TempDir,
    relation: Arc<Relation>,
    definitions: Definitions,
    header: SegmentHeader,
    /// Where the segments end.
    at: u64,
}

impl Full {
    fn new(within: &Path, row: &Bytes) -> Self {
        let mut full = Self {
            folder: tempfile::tempdir_in(within).expect("a folder"),
            relation: relation(),
            definitions: Definitions::starting_at(0),
            header: SegmentHeader {
                number: 1,
                first_entry: 0,
                before: Position::ZERO,
                created: PgMicros(0),
                next_definition: 0,
                facts: facts(),
            },
            at: 0,
        };
        for _ in 0..START_SEGMENTS {
            full.segment(row);
        }
        full
    }

    /// What lies between its first run and its index is a hole: nothing reads it.
    fn segment(&mut self, row: &Bytes) {
        let (index, bytes) = self.write(row, 0);
        let offset = SEGMENT_BYTES - (64 << 10);
        let number = self.header.number;
        let mut tail = Vec::new();
        index.seal(number, offset, &mut tail).expect("an index");
        let file = self.file();
        file.write_all_at(&bytes, 0).expect("written");
        file.write_all_at(&tail, offset).expect("written");
        self.header = SegmentHeader {
            number: number + 1,
            first_entry: index.next_entry(),
            before: index.last,
            next_definition: index.next_definition,
            ..self.header.clone()
        };
    }

    /// One that a crash has left full and without an index.
    fn torn(&mut self, row: &Bytes) {
        let (_, bytes) = self.write(row, SEGMENT_BYTES as usize - (128 << 10));
        self.file().write_all_at(&bytes, 0).expect("written");
    }

    fn write(&mut self, row: &Bytes, least: usize) -> (SegmentIndex, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut writer = SegmentWriter::begin(&self.header, &mut bytes).expect("a segment");
        loop {
            self.at += 0x10000;
            let frames = run(self.at, RUN_ROWS, row, &self.relation);
            writer
                .append(&frames, &mut self.definitions, &mut bytes)
                .expect("appended");
            if bytes.len() >= least {
                return (writer.index().clone(), bytes);
            }
        }
    }

    fn file(&self) -> File {
        let name = format!("{:016x}.segment", self.header.number);
        File::create(self.folder.path().join(name)).expect("a file")
    }

    /// How long it takes until it can be appended to and read.
    fn start(&self, name: &str, confirmed: u64) {
        let checkpoint = Checkpoint {
            source: SourceIdentity {
                system_id: 1,
                timeline: 1,
                epoch: 0,
                slot: facts().slot,
                consistent_point: Lsn(0),
                created_by_us: true,
            },
            confirmed: Lsn(confirmed),
            sinks: std::collections::BTreeMap::new(),
            received: None,
            gaps: Vec::new(),
        };
        let options = DiskOptions {
            budget_bytes: Some(100 << 30),
            keep_free_percent: 0,
            ..DiskOptions::new(self.folder.path())
        };
        let since = Instant::now();
        let opened = DiskJournal::open(options, Some(&checkpoint)).expect("opened");
        let start = Position::new(0, opened.tail().expect("a tail"), 0);
        let journal = opened.start(facts(), start).expect("started");
        let line = format!("{name:40} {:4} ms\n", since.elapsed().as_millis());
        assert!(start.lsn() >= checkpoint.confirmed, "{start}");
        drop(journal);
        std::io::stdout()
            .write_all(line.as_bytes())
            .expect("written");
    }
}

/// Starts with 10 GiB, all of it in the cache of the file system.
fn measure_start(within: &Path, row: &Bytes) {
    let mut full = Full::new(within, row);
    let confirmed = full.at + 8;
    full.start("start with 10 GiB after a clean stop", confirmed);
    drop(full);
    full = Full::new(within, row);
    full.torn(row);
    full.start("start with 10 GiB after a crash", confirmed);
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
            let (_kept, journal) = fresh(&folder);
            measure("on disk", &journal, rows, row.clone()).await;
            measure_lagging(&journal, rows).await;
            drop(journal);
            let journal = Journal::in_memory(DEFAULT_BUDGET_BYTES, Position::ZERO);
            measure_latency("in memory", &journal, row.clone()).await;
            let (_kept, journal) = fresh(&folder);
            measure_latency("on disk", &journal, row.clone()).await;
            measure_start(&folder, &row);
        }
    });
}
