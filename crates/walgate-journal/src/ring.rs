//! The ring: entries, readers and the budget. Plain state, without waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use walgate_core::{Failure, Frame, Frames, Gap, Position, StopReason};

use crate::cursor::Read;
use crate::log::FinishedSpool;
use crate::reader::{Holders, Reader};
use crate::{JournalStats, ReaderStats};

mod readers;
mod window;

pub(crate) use readers::first_whole;
pub(crate) use window::{Batch, Holder, Window};

/// What an entry costs beyond the memory that its frames pin: the entry, the `Frames`, its lists.
/// An estimate on the safe side, so that a million tiny runs are bounded too.
const ENTRY_OVERHEAD_BYTES: usize = 384;

/// One append.
#[derive(Debug)]
struct Entry {
    item: Item,
    /// Position of the last frame.
    last: Position,
    cost: usize,
    /// Cost of everything that was appended before it.
    offset: u64,
    holders: Holders,
}

/// What was appended.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Frames(Arc<Frames>),
    Gap(Gap),
    /// An entry of a transaction whose changes lie in a spool: which one, counted from its Begin.
    /// It is only ever read from disk.
    Spooled(Arc<FinishedSpool>, u64),
}

/// Identifies a reader of one ring.
pub(crate) type ReaderId = usize;

/// What a reader finds at its place.
#[derive(Debug)]
pub(crate) enum Look {
    /// It has read this.
    Read(Read),
    /// What it is to read next lies behind a hole that ends here, and that it has not passed.
    Hole(Position),
    /// It has read everything so far.
    Wait,
    /// Its place is no longer in memory, but on disk; what is in memory begins at `base`.
    Disk { place: Place, base: u64 },
}

/// A place on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The entry of this number.
    Entry(u64),
    /// The first entry that holds anything behind this position.
    Behind(Position),
}

/// Entries in the order of their arrival, numbered without end; `base` is the number of the first
/// that is kept.
#[derive(Debug)]
pub(crate) struct Ring {
    budget: usize,
    entries: VecDeque<Entry>,
    base: u64,
    bytes: usize,
    /// Cost of everything that was ever appended.
    appended: u64,
    readers: Vec<Option<Reader>>,
    /// Readers that have released everything.
    tail: Holders,
    /// Everything up to here is no longer kept.
    oldest: Position,
    newest: Position,
    /// Everything up to here has been appended: what a reader at the end is told.
    progress: Position,
    epoch: u8,
    ended: bool,
    /// Nothing will be written any more.
    cut_off: bool,
    /// What lies on disk, when there is a disk behind it.
    window: Option<Window>,
}

impl Ring {
    pub(crate) fn new(budget: usize, start: Position) -> Self {
        Self {
            budget,
            entries: VecDeque::new(),
            base: 0,
            bytes: 0,
            appended: 0,
            readers: Vec::new(),
            tail: Holders::default(),
            oldest: start,
            newest: start,
            progress: start,
            epoch: start.epoch(),
            ended: false,
            cut_off: false,
            window: None,
        }
    }

    /// A ring in front of a disk, whose first entry has the number `base`.
    pub(crate) fn with_disk(budget: usize, start: Position, base: u64) -> Self {
        Self {
            base,
            window: Some(Window::new(base)),
            ..Self::new(budget, start)
        }
    }

    /// Makes room for these frames: from memory goes what is on disk; without a disk, optional
    /// readers are dropped behind. Returns false when what is in the way is still needed.
    pub(crate) fn make_room(&mut self, frames: &Frames) -> bool {
        let cost = cost_of(frames);
        let mut dropped = false;
        while !self.entries.is_empty() && self.bytes.saturating_add(cost) > self.budget {
            if !self.can_drop_front() {
                break;
            }
            self.pop_front();
            dropped = true;
        }
        if dropped {
            self.drop_behind();
        }
        self.entries.is_empty() || self.bytes.saturating_add(cost) <= self.budget
    }

    /// Appends frames; what has neither frames nor progress is nothing. Fails when the last frame
    /// does not say where it stands.
    pub(crate) fn push(&mut self, frames: Frames) -> Result<(), Failure> {
        let progress = frames
            .progress
            .map(|lsn| Position::new(frames.epoch, lsn, 0));
        self.epoch = frames.epoch;
        if !frames.frames.is_empty() {
            let last = frames.last().ok_or_else(|| {
                let message = format!(
                    "the last of {} frames behind {} has no position",
                    frames.frames.len(),
                    self.newest
                );
                Failure::new(StopReason::Data, message)
            })?;
            let cost = cost_of(&frames);
            self.push_entry(Item::Frames(Arc::new(frames)), last, cost);
        }
        if let Some(progress) = progress {
            self.progress = self.progress.max(progress);
            self.newest = self.newest.max(progress);
            if let Some(window) = &mut self.window {
                window.progress(progress);
            }
        }
        Ok(())
    }

    /// Appends a gap of the source's.
    pub(crate) fn push_gap(&mut self, gap: Gap) {
        let last = Position::new(self.epoch, gap.to, 0);
        self.push_entry(Item::Gap(gap), last, ENTRY_OVERHEAD_BYTES);
    }

    fn push_entry(&mut self, item: Item, last: Position, cost: usize) {
        let holders = std::mem::take(&mut self.tail);
        self.entries.push_back(Entry {
            item,
            last,
            cost,
            offset: self.appended,
            holders,
        });
        self.bytes += cost;
        self.appended += cost as u64;
        self.newest = self.newest.max(last);
        self.free();
    }

    /// Appends a transaction whose changes lie in a spool.
    pub(crate) fn push_spool(&mut self, spool: &Arc<FinishedSpool>) {
        self.epoch = spool.adoption.epoch;
        for entry in 0..spool.adoption.entries() {
            let item = Item::Spooled(Arc::clone(spool), entry);
            let last = spool.adoption.last_of(entry);
            self.push_entry(item, last, ENTRY_OVERHEAD_BYTES);
        }
    }

    /// Whether there is anything in memory that is only read from disk.
    pub(crate) fn has_spooled(&self) -> bool {
        let mut items = self.entries.iter().map(|entry| &entry.item);
        items.any(|item| matches!(item, Item::Spooled(..)))
    }

    fn is_spooled(&self, number: u64) -> bool {
        let place = number.checked_sub(self.base);
        let entry = place.and_then(|place| self.entries.get(usize::try_from(place).ok()?));
        entry.is_some_and(|entry| matches!(entry.item, Item::Spooled(..)))
    }

    /// Where the entries in memory go on behind those that are only on disk, from the entry
    /// `number` on, which is in memory.
    fn behind_spooled(&self, number: u64) -> u64 {
        let place = usize::try_from(number - self.base).unwrap_or(usize::MAX);
        let spooled = self.entries.iter().skip(place);
        let count = spooled
            .take_while(|entry| matches!(entry.item, Item::Spooled(..)))
            .count();
        number + count as u64
    }

    /// The disk takes nothing any more: who waits for what is only there has come to the end.
    pub(crate) fn cut_off(&mut self) {
        self.cut_off = true;
    }

    /// Nothing will be appended any more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The last position that was appended.
    pub(crate) fn newest(&self) -> Position {
        self.newest
    }

    pub(crate) fn stats(&self, held_back: bool) -> JournalStats {
        let readers = self.readers.iter().flatten().map(|reader| {
            let entry = self.entries.get((reader.held - self.base) as usize);
            ReaderStats {
                name: reader.name.clone(),
                demand: reader.demand,
                released: reader.released,
                behind_bytes: entry.map_or(0, |entry| self.appended - entry.offset),
                behind_entries: self.end_number() - reader.held,
                behind_disk_bytes: 0,
                in_memory: reader.place(self.base).is_none(),
            }
        });
        JournalStats {
            bytes: self.bytes,
            budget_bytes: self.budget,
            entries: self.entries.len(),
            oldest: self.oldest,
            newest: self.newest,
            held_back,
            readers: readers.collect(),
            disk: None,
        }
    }

    fn end_number(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn holders_at(&mut self, number: u64) -> &mut Holders {
        let place = (number - self.base) as usize;
        match self.entries.get_mut(place) {
            Some(entry) => &mut entry.holders,
            None => &mut self.tail,
        }
    }

    /// Whether an append may find room now.
    fn has_room_to_make(&self) -> bool {
        self.entries.is_empty() || self.can_drop_front() || self.bytes < self.budget
    }

    /// Whether the first entry may go before it is released: it is on disk, or nobody who must have
    /// it holds it.
    fn can_drop_front(&self) -> bool {
        match &self.window {
            Some(window) => window.is_safe(self.base),
            None => self
                .entries
                .front()
                .is_none_or(|front| front.holders.required == 0),
        }
    }

    /// Frees what nobody holds, from the front; not what is not safe on disk yet.
    fn free(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|front| front.holders.all == 0)
            && self
                .window
                .as_ref()
                .is_none_or(|window| window.is_safe(self.base))
        {
            self.pop_front();
        }
        if self.entries.capacity() > 64 && self.entries.len() * 8 < self.entries.capacity() {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.base += 1;
            self.bytes -= entry.cost;
            self.oldest = self.oldest.max(entry.last);
        }
    }
}

fn cost_of(frames: &Frames) -> usize {
    let frame_bytes = frames.frames.capacity() * size_of::<Frame>();
    frames
        .pinned
        .saturating_add(frame_bytes)
        .saturating_add(ENTRY_OVERHEAD_BYTES)
}
