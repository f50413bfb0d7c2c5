//! What a reader brings, and what it is looking for.

use walgate_core::{Frames, Gap, Lsn, Position};

use super::damaged::DamagedPlace;
use crate::segment::Record;

/// What an entry holds.
#[derive(Debug, Clone)]
pub enum Item {
    /// Frames, whose bytes are a slice of what was read.
    Frames(Frames),
    /// A gap that was appended.
    Gap(Gap),
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// Its number.
    pub number: u64,
    /// The position of its last frame, or the end of the gap.
    pub last: Position,
    /// What it holds.
    pub item: Item,
}

/// What one read has brought.
#[derive(Debug)]
pub struct Chunk {
    /// Entries, in order.
    pub entries: Vec<LogEntry>,
    /// Everything up to here has been handed over: the last keepalive's position among the entries.
    pub progress: Option<Position>,
    /// What comes next.
    pub then: Then,
}

/// What comes behind a [`Chunk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// More.
    More,
    /// Nothing that is written: what was appended last may only be in memory.
    Tail,
    /// Retention has deleted what comes next. [`LogReader::go_on`](super::LogReader::go_on) goes to the oldest that is kept.
    Gone {
        /// Everything up to here was read, or was not asked for.
        from: Position,
        /// Everything up to here is not kept.
        oldest: Position,
    },
    /// What comes next can't be read. [`LogReader::go_on`](super::LogReader::go_on) goes behind it.
    Damaged(DamagedPlace),
}

/// What a reader is looking for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// The entry with this number.
    Entry(u64),
    /// The first entry that holds anything behind this position.
    Position(Position),
}

impl Target {
    /// Whether an entry comes before what is looked for.
    pub(super) fn is_behind(self, number: u64, last: Position) -> bool {
        match self {
            Self::Entry(entry) => number < entry,
            Self::Position(position) => last <= position,
        }
    }
}

impl Chunk {
    pub(super) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            progress: None,
            then: Then::More,
        }
    }

    /// Whether nothing was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.progress.is_none()
    }

    /// Adds what a record holds, unless it comes before what is looked for. Returns the position up
    /// to which everything is read with it.
    pub(super) fn take(
        &mut self,
        number: u64,
        record: Record,
        leave_out: &mut Option<Target>,
    ) -> Option<Position> {
        let (last, item) = match record {
            Record::Run(run) => {
                self.note_progress(run.frames.epoch, run.frames.progress);
                (run.last, Item::Frames(run.frames))
            }
            Record::Gap { epoch, gap, .. } => (Position::new(epoch, gap.to, 0), Item::Gap(gap)),
            Record::Progress { epoch, lsn } => {
                self.note_progress(epoch, Some(lsn));
                return Some(Position::new(epoch, lsn, 0));
            }
            // A reference is read part by part, by whoever meets it.
            Record::Definition { .. }
            | Record::Reference(_)
            | Record::Index(_)
            | Record::Locked { .. } => return None,
        };
        if leave_out.is_none_or(|target| !target.is_behind(number, last)) {
            *leave_out = None;
            self.entries.push(LogEntry { number, last, item });
        }
        Some(last)
    }

    fn note_progress(&mut self, epoch: u8, progress: Option<Lsn>) {
        let progress = progress.map(|lsn| Position::new(epoch, lsn, 0));
        self.progress = self.progress.max(progress);
    }
}
