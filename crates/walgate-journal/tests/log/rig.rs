//! A log on a simulated disk, driven by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{Checkpoint, Failure, Frames, Gap, Lsn, PgMicros, Position, SourceIdentity};
use walgate_journal::log::{
    Appender, DamagedPlace, Item, LogFiles, LogOptions, LogReader, LogView, Opened, Synced, Then,
};
use walgate_journal::segment::SegmentFacts;
use walgate_journal::storage::{SimulatedDisk, Storage};
use walgate_pgoutput::Dialect;

use crate::runs::rows;

pub(crate) const SLOT: &str = "walgate";
pub(crate) const SYSTEM: u64 = 42;

pub(crate) fn checkpoint(confirmed: u64) -> Checkpoint {
    Checkpoint {
        source: SourceIdentity {
            system_id: SYSTEM,
            timeline: 1,
            epoch: 0,
            slot: SLOT.to_owned(),
            consistent_point: Lsn(0),
            created_by_us: true,
        },
        confirmed: Lsn(confirmed),
        sinks: BTreeMap::new(),
        received: None,
        gaps: Vec::new(),
    }
}

pub(crate) fn facts() -> SegmentFacts {
    SegmentFacts {
        system_id: SYSTEM,
        timeline: 1,
        epoch: 0,
        slot: SLOT.to_owned(),
        dialect: Dialect::default(),
        server_version: "17.2".to_owned(),
        settings: vec![("DateStyle".to_owned(), "ISO".to_owned())],
    }
}

/// Small segments: a few transactions each.
pub(crate) fn options() -> LogOptions {
    LogOptions {
        segment_bytes: 1_000,
        budget_bytes: Some(1 << 30),
        ..LogOptions::default()
    }
}

pub(crate) struct Rig {
    pub(crate) disk: SimulatedDisk,
    pub(crate) appender: Appender,
    pub(crate) files: LogFiles,
    pub(crate) view: LogView,
    pub(crate) now: Instant,
}

pub(crate) fn open(disk: &SimulatedDisk, confirmed: u64) -> Result<Opened, Failure> {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    Opened::open(storage, options(), Some(&checkpoint(confirmed)))
}

impl Rig {
    /// A new log on a new disk.
    pub(crate) fn new() -> Self {
        Self::on(&SimulatedDisk::new(1), 0)
    }

    /// A new log with these options.
    pub(crate) fn with(mut options: LogOptions) -> Self {
        options.budget_bytes = Some(1 << 40);
        let disk = SimulatedDisk::new(1);
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let opened = Opened::open(storage, options, None).expect("opened");
        Self::started(&disk, opened, 0)
    }

    /// Opens what is on the disk, and starts at the later of `confirmed` and the tail.
    pub(crate) fn on(disk: &SimulatedDisk, confirmed: u64) -> Self {
        let opened = open(disk, confirmed).expect("opened");
        Self::started(disk, opened, confirmed)
    }

    pub(crate) fn started(disk: &SimulatedDisk, opened: Opened, confirmed: u64) -> Self {
        let start = opened.tail().unwrap_or_default().max(Lsn(confirmed));
        let view = opened.view().clone();
        let start = Position::new(0, start, 0);
        let (appender, files) = opened.start(facts(), start, PgMicros(0)).expect("started");
        Self {
            disk: disk.clone(),
            appender,
            files,
            view,
            now: Instant::now(),
        }
    }

    /// On any storage; the disk of it is not used.
    pub(crate) fn in_folder(storage: Arc<dyn Storage>, confirmed: u64) -> Self {
        let opened =
            Opened::open(storage, options(), Some(&checkpoint(confirmed))).expect("opened");
        Self::started(&SimulatedDisk::new(0), opened, confirmed)
    }

    pub(crate) fn append(&mut self, frames: &Frames) -> Option<u64> {
        self.appender.append(frames, PgMicros(0)).expect("appended")
    }

    pub(crate) fn append_gap(&mut self, gap: &Gap) -> u64 {
        self.appender
            .append_gap(gap, PgMicros(0))
            .expect("appended")
    }

    pub(crate) fn progress(&mut self, lsn: u64) {
        assert_eq!(self.append(&Frames::progress(0, Lsn(lsn))), None);
    }

    /// Writes what was appended, as far as the disk takes it.
    pub(crate) fn write(&mut self) -> bool {
        self.files.queue(self.appender.take_pending());
        while !self.files.write_out(self.now) {
            if !self.files.is_sync_due(self.now) || self.files.sync().is_err() {
                return false;
            }
        }
        true
    }

    /// Writes and syncs.
    pub(crate) fn flush(&mut self) -> Synced {
        assert!(self.write(), "{:?}", self.files.state());
        self.files.sync().expect("synced")
    }

    pub(crate) fn later(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    pub(crate) fn segments(&self) -> Vec<u64> {
        let segments = self.view.catalogue().segments();
        segments.iter().map(|segment| segment.number).collect()
    }
}

/// What a reader finds up to the tail, in short.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) rows: Vec<String>,
    pub(crate) numbers: Vec<u64>,
    pub(crate) damaged: Vec<DamagedPlace>,
    pub(crate) gone: Vec<(Position, Position)>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) progress: Option<Position>,
    pub(crate) chunks: usize,
}

/// Reads to the tail, and goes on behind everything that stops.
pub(crate) fn read_on(reader: &mut LogReader) -> Story {
    let mut story = Story::default();
    loop {
        let chunk = reader.read().expect("read");
        story.chunks += 1;
        assert!(story.chunks < 100_000, "it never ends");
        story.progress = story.progress.max(chunk.progress);
        for entry in chunk.entries {
            story.numbers.push(entry.number);
            match entry.item {
                Item::Frames(frames) => {
                    assert_eq!(frames.last(), Some(entry.last));
                    story.rows.extend(rows(&frames));
                }
                Item::Gap(gap) => story.gaps.push(gap),
            }
        }
        match chunk.then {
            Then::More => continue,
            Then::Tail => return story,
            Then::Gone { from, oldest } => story.gone.push((from, oldest)),
            Then::Damaged(place) => story.damaged.push(place),
        }
        reader.go_on();
    }
}

/// Everything from the oldest on.
pub(crate) fn read_all(view: &LogView) -> Story {
    read_on(&mut view.reader_behind(view.catalogue().oldest()))
}

/// The rows of whole transactions.
pub(crate) fn rows_of(lsns: impl IntoIterator<Item = u64>) -> Vec<String> {
    lsns.into_iter()
        .flat_map(|lsn| [format!("{lsn}.2"), format!("{lsn}.3")])
        .collect()
}

/// The name of a segment's file.
pub(crate) fn file(number: u64) -> String {
    format!("{number:016x}.segment")
}
