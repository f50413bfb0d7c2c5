//! The journal on disk before it runs, and what of it the journal in memory knows.

use std::sync::Arc;
use std::time::SystemTime;

use walgate_core::{Checkpoint, Failure, Lsn, PgMicros, Position, StopReason, Watermark};

use crate::journal::Shared;
use crate::log::{LogView, Opened, SpoolOptions, Unadopted};
use crate::ring::Ring;
use crate::segment::SegmentFacts;
use crate::storage::{Folder, Keyed, Storage};
use crate::writer_thread::{Writer, WriterThread};
use crate::{DiskOptions, Journal, JournalStats, OnDamage};

/// The budget is at least this many segments: space comes back in segments, and that which is
/// written never does.
const BUDGET_SEGMENTS: u64 = 8;

/// A journal on disk that was recovered and does not run yet: it says where the source begins.
#[derive(Debug)]
pub struct DiskJournal {
    options: DiskOptions,
    opened: Opened,
}

impl DiskJournal {
    /// Takes the folder and recovers what is in it; it makes the folder where there is none. This
    /// blocks for as long as the disk takes. `checkpoint` says what was confirmed: damage above it
    /// is the torn tail of a crash and is cut off, damage below it stays.
    ///
    /// # Errors
    ///
    /// When the folder can't be used: it is another process's, of another slot or system, of a
    /// newer version, or without its checkpoint.
    pub fn open(options: DiskOptions, checkpoint: Option<&Checkpoint>) -> Result<Self, Failure> {
        let storage = Arc::new(Folder::take(options.folder.as_path())?);
        Self::open_on(storage, options, checkpoint)
    }

    /// The same on a storage that stands for the folder.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        options: DiskOptions,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Self, Failure> {
        let mut options = options;
        let storage: Arc<dyn Storage> = match options.keys.ids().is_empty() {
            true => storage,
            false => Arc::new(Keyed::new(storage, options.keys.clone())),
        };
        let budget = options.log().budget(storage.space().ok());
        options.segment_bytes = options.segment_bytes.min(budget / BUDGET_SEGMENTS);
        let opened = Opened::open(storage, options.log(), checkpoint)?;
        Ok(Self { options, opened })
    }

    /// The end of the last whole transaction that it holds, or a keepalive's position behind that:
    /// the source begins at the later of the checkpoint and this. None when it is empty.
    pub fn tail(&self) -> Option<Lsn> {
        self.opened.tail()
    }

    /// Everything up to here is not kept. None when it is empty.
    pub fn oldest(&self) -> Option<Position> {
        self.opened.oldest()
    }

    /// Nothing that it holds lies behind this position. None when it is empty.
    pub fn newest(&self) -> Option<Position> {
        self.opened.newest()
    }

    /// For finding out [how far](LogView::whole_before) it is the history of a server that has
    /// another timeline now.
    pub fn view(&self) -> &LogView {
        self.opened.view()
    }

    /// Cuts off everything behind what `checkpoint` says is confirmed, which is
    /// [whole](LogView::whole_before) there; `save` writes that checkpoint durably. A crash in
    /// between leaves either what was before, or what is after. Blocks.
    ///
    /// # Errors
    ///
    /// When the folder can't be written, or `save` fails.
    pub fn cut(
        self,
        checkpoint: &Checkpoint,
        mut save: impl FnMut(&Checkpoint) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let Self { options, opened } = self;
        opened.discard()?;
        save(checkpoint)?;
        let storage = Arc::clone(opened.view().storage());
        drop(opened);
        let opened = Opened::open(storage, options.log(), Some(checkpoint))?;
        if opened.tail() == Some(checkpoint.confirmed) {
            return Ok(Self { options, opened });
        }
        let (tail, wanted) = (opened.tail().unwrap_or_default(), checkpoint.confirmed);
        // What is not here has to come from the slot, or be told as lost.
        save(&Checkpoint {
            confirmed: tail.min(wanted),
            ..checkpoint.clone()
        })?;
        let message = format!("the journal was to be cut at {wanted}, and ends at {tail}");
        Err(Failure::new(StopReason::State, message)
            .hint("start again: what is behind comes from the slot if it still has it"))
    }

    /// Begins to run, in a segment of its own: `facts` is what its header says of the source, and
    /// `start` where the source begins.
    ///
    /// # Errors
    ///
    /// When the log is of another slot or system, or no thread can be started.
    pub fn start(self, facts: SegmentFacts, start: Position) -> Result<Journal, Failure> {
        let Self { options, opened } = self;
        // LSNs of an earlier epoch say nothing about this one: confirming them would lose changes.
        let is_same = |newest: &Position| newest.epoch() == start.epoch();
        let tail = opened
            .tail()
            .filter(|_| opened.newest().as_ref().is_some_and(is_same));
        let view = opened.view().clone();
        let base = opened.next_entry();
        let (appender, files) = opened.start(facts, start, wall_clock())?;
        let segment = appender.segment();
        let budget = options.log().budget(view.storage().space().ok());
        let mut ring = Ring::with_disk(options.memory_bytes, start, base);
        if tail.is_some_and(|tail| tail < start.lsn()) {
            ring.begins_behind_a_hole();
        }
        let behind = Behind {
            durable: Watermark::new(tail.unwrap_or_default()),
            on_damage: options.on_damage,
            start,
            segment,
            spools: options.spools(budget),
            unadopted: Arc::default(),
            view,
        };
        let shared = Arc::new(Shared::new(ring, Some(behind)));
        let writer = Writer::new(Arc::clone(&shared), appender, files, &options)?;
        let thread = WriterThread::start(Arc::clone(&shared), writer)?;
        Ok(Journal::on_disk(shared, thread))
    }
}

/// What lies behind the memory, as the journal and its cursors see it.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) view: LogView,
    pub(crate) durable: Watermark<Lsn>,
    pub(crate) on_damage: OnDamage,
    /// Where the source has started.
    pub(crate) start: Position,
    /// The segment that the log began with.
    pub(crate) segment: u64,
    pub(crate) spools: SpoolOptions,
    pub(crate) unadopted: Arc<Unadopted>,
}

impl Behind {
    /// Fills in what the catalogue of segments knows.
    pub(crate) fn complete(&self, stats: &mut JournalStats) {
        let catalogue = self.view.catalogue();
        for reader in &mut stats.readers {
            reader.behind_disk_bytes = catalogue.bytes_behind(reader.released);
        }
        if let Some(disk) = &mut stats.disk {
            disk.bytes = catalogue.bytes();
            disk.spool_bytes = self.unadopted.bytes();
            disk.segments = catalogue.len();
            disk.oldest = catalogue.oldest();
            disk.oldest_time = catalogue.oldest_time();
            disk.synced = self.durable.get();
        }
    }
}

/// The time as the server counts it; before 1970 it is 1970.
pub(crate) fn wall_clock() -> PgMicros {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    PgMicros::from_unix_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
