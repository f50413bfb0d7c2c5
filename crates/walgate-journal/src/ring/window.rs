//! The ring as the window in memory of a log on disk.

use std::collections::BTreeMap;

use walgate_core::Position;

use super::{Item, ReaderId, Ring};
use crate::Demand;
use crate::reader::Reader;

/// What lies on disk, and who still needs it there.
#[derive(Debug)]
pub(crate) struct Window {
    /// Entries before this number are safe on disk.
    synced: u64,
    /// Entries before this number were handed to the thread that writes.
    taken: u64,
    /// The newest progress that was not handed to it.
    progress: Option<Position>,
    /// Required readers that have left, and what they had released: they come back after a
    /// restart, and want the rest.
    left: BTreeMap<String, Position>,
    /// What the last durable checkpoint says that each sink has, once there was one.
    saved: Option<BTreeMap<String, Position>>,
    /// Behind which position each sink gets again what it has had.
    again: BTreeMap<String, Position>,
    /// What lies before the entry of this number, up to this position, is missing in part.
    hole: Option<(u64, Position)>,
}

/// What is to be written next.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Entries, the first with the number `first`.
    pub(crate) items: Vec<Item>,
    pub(crate) first: u64,
    /// Progress that lies at or before the end of the entries.
    pub(crate) progress: Option<Position>,
}

/// A required reader, and up to where it needs nothing any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) name: String,
    pub(crate) until: Position,
    /// Behind here it gets again what it has had, if that is less.
    pub(crate) again: Option<Position>,
}

impl Window {
    pub(super) fn new(base: u64) -> Self {
        Self {
            synced: base,
            taken: base,
            progress: None,
            left: BTreeMap::new(),
            saved: None,
            again: BTreeMap::new(),
            hole: None,
        }
    }

    /// Up to where something is missing before the entry `number`.
    pub(super) fn hole_before(&self, number: u64) -> Option<Position> {
        self.hole
            .filter(|(behind, _)| *behind == number)
            .map(|(_, lost)| lost)
    }

    pub(super) fn is_safe(&self, number: u64) -> bool {
        number < self.synced.min(self.taken)
    }

    pub(super) fn progress(&mut self, progress: Position) {
        self.progress = self.progress.max(Some(progress));
    }

    pub(super) fn came(&mut self, name: &str) {
        self.left.remove(name);
    }

    pub(super) fn left(&mut self, reader: Reader) {
        if reader.demand == Demand::Required {
            let until = self.until(&reader);
            self.left.insert(reader.name, until);
        }
    }

    /// Up to where a reader needs nothing, now and after a crash.
    fn until(&self, reader: &Reader) -> Position {
        match &self.saved {
            Some(saved) => saved
                .get(&reader.name)
                .map_or(reader.started, |saved| reader.released.min(*saved)),
            None => reader.released,
        }
    }
}

impl Ring {
    /// What lies between the log of an earlier run and the start of this one is missing.
    pub(crate) fn begins_behind_a_hole(&mut self) {
        let (base, start) = (self.base, self.newest);
        if let Some(window) = &mut self.window {
            window.hole = Some((base, start));
        }
    }

    /// Memory of what was not handed to the thread that writes, in bytes, and whether there is
    /// anything at all.
    pub(crate) fn unwritten(&self) -> (u64, bool) {
        let Some(window) = &self.window else {
            return (0, false);
        };
        let place = (window.taken - self.base) as usize;
        let bytes = self
            .entries
            .get(place)
            .map_or(0, |entry| self.appended - entry.offset);
        (bytes, bytes > 0 || window.progress.is_some())
    }

    /// Takes what is to be written next: about `max_bytes` of memory, at least one entry, and never
    /// a part of a spool: the log takes all of its entries at once, and they would be safe before
    /// they were taken.
    pub(crate) fn take(&mut self, max_bytes: usize) -> Batch {
        let Some(window) = &mut self.window else {
            return Batch::default();
        };
        let mut batch = Batch {
            first: window.taken,
            ..Batch::default()
        };
        let mut bytes = 0;
        let place = (window.taken - self.base) as usize;
        for entry in self.entries.range(place.min(self.entries.len())..) {
            if bytes >= max_bytes && !matches!(entry.item, Item::Spooled(_, 1..)) {
                return batch;
            }
            bytes += entry.cost;
            window.taken += 1;
            batch.items.push(entry.item.clone());
        }
        batch.progress = window.progress.take();
        batch
    }

    /// Entries before this number are safe on disk. Returns whether an append may find room now.
    pub(crate) fn synced(&mut self, number: u64) -> bool {
        match &mut self.window {
            Some(window) if window.synced < number => window.synced = number,
            _ => return false,
        }
        self.free();
        self.has_room_to_make()
    }

    /// A reader that reads from disk has read the entry `number`, which ends at `last`.
    pub(crate) fn passed(&mut self, id: ReaderId, number: u64, last: Position) {
        if let Some(reader) = self.reader_mut(id) {
            reader.seek = None;
            reader.next = number + 1;
            reader.at = reader.at.max(last);
        }
    }

    /// The entry that a reader has looked for by position, or that it goes on with behind a gap
    /// that ends at `resumed`. Returns where it was before.
    pub(crate) fn found(
        &mut self,
        id: ReaderId,
        number: u64,
        resumed: Option<Position>,
    ) -> Position {
        let Some(reader) = self.reader_mut(id) else {
            return Position::ZERO;
        };
        let before = reader.at;
        reader.seek = None;
        reader.next = number;
        reader.at = reader.at.max(resumed.unwrap_or_default());
        before
    }

    /// A reader goes on behind a hole that ends at `lost`. Returns where it was before.
    pub(crate) fn passed_hole(&mut self, id: ReaderId, lost: Position) -> Position {
        self.reader_mut(id).map_or(lost, |reader| {
            let before = reader.at;
            reader.at = reader.at.max(lost);
            before
        })
    }

    /// Whether a reader may do without what lies up to `position`: it has it, or is not required.
    pub(crate) fn can_spare(&self, id: ReaderId, position: Position) -> bool {
        let reader = self.readers.get(id).and_then(Option::as_ref);
        reader.is_none_or(|reader| reader.demand == Demand::Optional || reader.released >= position)
    }

    /// What the last durable checkpoint says that each sink has.
    pub(crate) fn checkpointed(&mut self, sinks: &BTreeMap<String, Position>) {
        if let Some(window) = &mut self.window {
            let saved = window.saved.get_or_insert_default();
            saved.clone_from(sinks);
            for (name, until) in &mut window.left {
                *until = sinks.get(name).map_or(*until, |saved| (*until).max(*saved));
            }
        }
    }

    /// What sinks get again.
    pub(crate) fn gives_again(&mut self, sinks: &BTreeMap<String, Position>) {
        if let Some(window) = &mut self.window {
            window.again.clone_from(sinks);
        }
    }

    /// Who holds the log on disk.
    pub(crate) fn holders(&self) -> Vec<Holder> {
        let Some(window) = &self.window else {
            return Vec::new();
        };
        let readers = self
            .readers
            .iter()
            .flatten()
            .filter(|reader| reader.demand == Demand::Required)
            .map(|reader| (reader.name.clone(), window.until(reader)));
        let left = window
            .left
            .iter()
            .map(|(name, until)| (name.clone(), *until));
        readers
            .chain(left)
            .map(|(name, until)| {
                let again = window.again.get(&name);
                let again = again.copied().filter(|again| *again < until);
                Holder { name, until, again }
            })
            .collect()
    }

    /// A required reader becomes an optional one. Returns whether an append may find room now.
    pub(crate) fn dismiss(&mut self, name: &str) -> bool {
        if let Some(window) = &mut self.window {
            window.left.remove(name);
        }
        let held = self
            .readers
            .iter_mut()
            .flatten()
            .find(|reader| reader.name == name && reader.demand == Demand::Required)
            .map(|reader| {
                reader.demand = Demand::Optional;
                reader.held
            });
        if let Some(held) = held {
            let holders = self.holders_at(held);
            holders.remove(Demand::Required);
            holders.add(Demand::Optional);
        }
        held.is_some() && self.has_room_to_make()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use walgate_core::{Lsn, PgMicros, Transaction};

    use super::*;
    use crate::log::FinishedSpool;
    use crate::segment::{Adoption, SpoolPart};

    const PART: SpoolPart = SpoolPart {
        offset: 0,
        ordinal: 0,
        len: 0,
        checksum: 0,
        first_index: 2,
    };

    fn spool(parts: usize) -> Arc<FinishedSpool> {
        let adoption = Adoption {
            epoch: 0,
            transaction: Transaction {
                xid: 9,
                commit_lsn: Lsn(1000),
                commit_time: PgMicros(0),
            },
            end_lsn: Lsn(1008),
            spool: 1,
            spool_bytes: 0,
            frames: parts as u64,
            last_index: parts as u32 + 1,
            relations: Vec::new(),
            parts: vec![PART; parts],
        };
        let name = String::new();
        Arc::new(FinishedSpool { name, adoption })
    }

    #[test]
    fn the_entries_of_a_spool_are_taken_together() {
        let mut ring = Ring::with_disk(1 << 20, Position::ZERO, 7);
        ring.push_spool(&spool(20));
        ring.push_spool(&spool(3));
        let batch = ring.take(1);
        assert_eq!((batch.first, batch.items.len()), (7, 22));
        // The log has both before the second was taken; nobody reads.
        ring.synced(7 + 22 + 5);
        assert_eq!(ring.base, 7 + 22, "what was not taken stays");
        let batch = ring.take(1);
        assert_eq!((batch.first, batch.items.len()), (29, 5));
        assert_eq!(ring.unwritten(), (0, false));
    }
}
