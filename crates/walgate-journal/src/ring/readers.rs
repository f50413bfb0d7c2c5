//! The readers of the ring: where they are, and what holds what.

use std::sync::Arc;

use walgate_core::{Gap, GapReason, Lsn, Position};

use super::{Item, Look, Place, ReaderId, Ring};
use crate::Demand;
use crate::cursor::Read;
use crate::reader::{Holders, Reader};

/// The least that lies between two WAL records: `MAXALIGN`, 8 on every platform that is in use.
/// `commit_lsn + 8` lies behind that commit and at or before whatever commits next.
const WAL_ALIGNMENT_BYTES: u64 = 8;

impl Ring {
    pub(crate) fn add_reader(&mut self, name: String, demand: Demand, start: Position) -> ReaderId {
        let mut reader = Reader::new(name, demand, start, self.base);
        if start < self.oldest {
            match &mut self.window {
                Some(_) => reader.seek = Some(start),
                None => reader.lost_from = Some(start),
            }
        }
        if let Some(window) = &mut self.window {
            window.came(&reader.name);
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
        if let Some(window) = &mut self.window {
            window.left(reader);
        }
        self.free();
        self.has_room_to_make()
    }

    /// What the reader reads next.
    pub(crate) fn look(&mut self, id: ReaderId) -> Look {
        let base = self.base;
        if let (Some(window), Some(Some(reader))) = (&self.window, self.readers.get(id)) {
            if let Some(place) = reader.place(base) {
                return Look::Disk { place, base };
            }
            if let Some(lost) = window.hole_before(reader.next)
                && reader.at < lost
            {
                return Look::Hole(lost);
            }
            let next = reader.next;
            if self.is_spooled(next) {
                return match window.is_safe(next) {
                    true => Look::Disk {
                        place: Place::Entry(next),
                        base: self.behind_spooled(next),
                    },
                    false if self.cut_off => Look::Read(Read::End),
                    false => Look::Wait,
                };
            }
        }
        self.read(id).map_or(Look::Wait, Look::Read)
    }

    /// What the reader reads next from memory; `None` when it has read everything so far.
    fn read(&mut self, id: ReaderId) -> Option<Read> {
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
            let read = match &entry.item {
                Item::Frames(frames) => Read::Frames(Arc::clone(frames)),
                Item::Gap(gap) => Read::Gap(gap.clone()),
                // Whoever looks was sent to the disk before.
                Item::Spooled(..) => return None,
            };
            reader.next += 1;
            reader.at = reader.at.max(entry.last);
            return Some(read);
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
        reader.at = position;
        reader.progress = reader.progress.min(position);
        // A required reader keeps what it has not released, but it may have started behind.
        if position < oldest {
            if self.window.is_some() {
                reader.seek = Some(position);
                return;
            }
            reader.lost_from = Some(position);
        }
        reader.seek = None;
        // With a disk it may go back before what it has released: what is not in memory any more
        // when it gets there is on disk.
        let first = match self.window {
            Some(_) => self.base,
            None => reader.held,
        };
        let skipped = self
            .entries
            .iter()
            .skip(usize::try_from(first - self.base).unwrap_or(usize::MAX))
            .take_while(|entry| entry.last <= position)
            .count();
        reader.next = first + skipped as u64;
    }

    pub(crate) fn reader_mut(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.readers.get_mut(id)?.as_mut()
    }

    /// Moves the readers that held what has just been dropped to what is left. With a disk they
    /// read on there, else they have lost it.
    pub(super) fn drop_behind(&mut self) {
        let base = self.base;
        let mut moved = Holders::default();
        for reader in self.readers.iter_mut().flatten() {
            if reader.held >= base {
                continue;
            }
            reader.held = base;
            moved.add(reader.demand);
            if reader.next < base && self.window.is_none() {
                reader.next = base;
                reader.lost_from.get_or_insert(reader.at);
            }
        }
        let holders = self.holders_at(base);
        holders.all += moved.all;
        holders.required += moved.required;
    }
}

/// The LSN from which on transactions are whole when everything up to `dropped` is gone. A
/// transaction of which a part is gone is lost as a whole.
pub(crate) fn first_whole(dropped: Position) -> Lsn {
    let lsn = dropped.lsn();
    if dropped.index() == 0 {
        return lsn;
    }
    lsn.checked_add(WAL_ALIGNMENT_BYTES).unwrap_or(lsn)
}
