//! The ring: entries, readers and the budget. Plain state, without waiting.

use std::collections::VecDeque;
use std::sync::Arc;

use walgate_core::{Failure, Frame, Frames, Gap, GapReason, Lsn, Position, StopReason};

use crate::cursor::Read;
use crate::reader::{Holders, Reader};
use crate::{Demand, JournalStats, ReaderStats};

/// What an entry costs beyond the memory that its frames pin: the entry, the `Frames`, its lists.
/// An estimate on the safe side, so that a million tiny runs are bounded too.
const ENTRY_OVERHEAD_BYTES: usize = 384;

/// The least that lies between two WAL records: `MAXALIGN`, 8 on every platform that is in use.
/// `commit_lsn + 8` lies behind that commit and at or before whatever commits next.
const WAL_ALIGNMENT_BYTES: u64 = 8;

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

#[derive(Debug)]
enum Item {
    Frames(Arc<Frames>),
    Gap(Gap),
}

/// Identifies a reader of one ring.
pub(crate) type ReaderId = usize;

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
        }
    }

    /// Makes room for these frames by dropping optional readers behind. Returns false when a
    /// required reader still needs what is in the way.
    pub(crate) fn make_room(&mut self, frames: &Frames) -> bool {
        let cost = cost_of(frames);
        let mut dropped = false;
        while !self.entries.is_empty() && self.bytes.saturating_add(cost) > self.budget {
            if self
                .entries
                .front()
                .is_some_and(|front| front.holders.required > 0)
            {
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

    /// Nothing will be appended any more.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn add_reader(&mut self, name: String, demand: Demand, start: Position) -> ReaderId {
        let mut reader = Reader::new(name, demand, start, self.base);
        if start < self.oldest {
            reader.lost_from = Some(start);
        }
        self.holders_at(self.base).add(demand);
        let id = match self.readers.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                self.readers.push(None);
                self.readers.len() - 1
            }
        };
        if let Some(place) = self.readers.get_mut(id) {
            *place = Some(reader);
        }
        self.release(id, start);
        id
    }

    /// Forgets a reader. Returns whether an append may find room now.
    pub(crate) fn remove_reader(&mut self, id: ReaderId) -> bool {
        let Some(reader) = self.readers.get_mut(id).and_then(Option::take) else {
            return false;
        };
        self.holders_at(reader.held).remove(reader.demand);
        self.free();
        self.has_room_to_make()
    }

    /// What the reader reads next; `None` when it has read everything so far.
    pub(crate) fn read(&mut self, id: ReaderId) -> Option<Read> {
        let reader = self.readers.get_mut(id)?.as_mut()?;
        if let Some(from) = reader.lost_from.take() {
            let to = first_whole(self.oldest);
            let resumed = Position::new(self.oldest.epoch(), to, 0);
            if from < resumed && from < self.oldest {
                reader.at = resumed;
                return Some(Read::Gap(Gap {
                    from: from.lsn(),
                    to,
                    reason: GapReason::SinkFellBehind,
                }));
            }
        }
        let place = usize::try_from(reader.next - self.base).ok()?;
        if let Some(entry) = self.entries.get(place) {
            reader.next += 1;
            reader.at = reader.at.max(entry.last);
            return Some(match &entry.item {
                Item::Frames(frames) => Read::Frames(Arc::clone(frames)),
                Item::Gap(gap) => Read::Gap(gap.clone()),
            });
        }
        if reader.progress < self.progress && reader.at < self.progress {
            reader.progress = self.progress;
            reader.at = reader.at.max(self.progress);
            return Some(Read::Progress(self.progress));
        }
        self.ended.then_some(Read::End)
    }

    /// The reader needs nothing up to `position` any more. Returns whether an append may find room
    /// now.
    pub(crate) fn release(&mut self, id: ReaderId, position: Position) -> bool {
        let end = self.end_number();
        let Some(Some(reader)) = self.readers.get_mut(id) else {
            return false;
        };
        reader.released = reader.released.max(position);
        let (held, demand) = (reader.held, reader.demand);
        let mut now = held;
        while now < end {
            let place = (now - self.base) as usize;
            if self
                .entries
                .get(place)
                .is_none_or(|entry| entry.last > position)
            {
                break;
            }
            now += 1;
        }
        if now == held {
            return false;
        }
        reader.held = now;
        // What was released before it was read is not read at all.
        reader.next = reader.next.max(now);
        self.holders_at(held).remove(demand);
        self.holders_at(now).add(demand);
        self.free();
        self.has_room_to_make()
    }

    /// The reader reads again from the first kept entry that holds anything behind `position`.
    pub(crate) fn rewind(&mut self, id: ReaderId, position: Position) {
        let oldest = self.oldest;
        let Some(Some(reader)) = self.readers.get_mut(id) else {
            return;
        };
        let first = reader.held - self.base;
        let skipped = self
            .entries
            .iter()
            .skip(usize::try_from(first).unwrap_or(usize::MAX))
            .take_while(|entry| entry.last <= position)
            .count();
        reader.next = reader.held + skipped as u64;
        reader.at = position;
        reader.progress = reader.progress.min(position);
        // A required reader keeps what it has not released, but it may have started behind.
        if position < oldest {
            reader.lost_from = Some(position);
        }
    }

    pub(crate) fn reader_mut(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.readers.get_mut(id)?.as_mut()
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

    /// Whether no required reader holds the front: it is free, or can be taken from optional ones.
    fn has_room_to_make(&self) -> bool {
        self.entries
            .front()
            .is_none_or(|front| front.holders.required == 0)
            || self.bytes < self.budget
    }

    /// Frees what nobody holds, from the front.
    fn free(&mut self) {
        while self
            .entries
            .front()
            .is_some_and(|front| front.holders.all == 0)
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

    /// Moves the readers that held what has just been dropped to what is left.
    fn drop_behind(&mut self) {
        let base = self.base;
        let mut moved = Holders::default();
        for reader in self.readers.iter_mut().flatten() {
            if reader.held >= base {
                continue;
            }
            reader.held = base;
            moved.add(reader.demand);
            if reader.next < base {
                reader.next = base;
                reader.lost_from.get_or_insert(reader.at);
            }
        }
        let holders = self.holders_at(base);
        holders.all += moved.all;
        holders.required += moved.required;
    }
}

fn cost_of(frames: &Frames) -> usize {
    let frame_bytes = frames.frames.capacity() * size_of::<Frame>();
    frames
        .pinned
        .saturating_add(frame_bytes)
        .saturating_add(ENTRY_OVERHEAD_BYTES)
}

/// The LSN from which on transactions are whole when everything up to `dropped` is gone. A
/// transaction of which a part is gone is lost as a whole.
fn first_whole(dropped: Position) -> Lsn {
    let lsn = dropped.lsn();
    if dropped.index() == 0 {
        return lsn;
    }
    lsn.checked_add(WAL_ALIGNMENT_BYTES).unwrap_or(lsn)
}
