//! What the ring knows of a reader.

use walgate_core::Position;

use crate::ring::Place;

/// Whether the source waits for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Demand {
    /// The journal keeps everything that the reader has not released; appends wait for it.
    Required,
    /// The journal keeps what it has room for; the reader may fall behind.
    Optional,
}

/// A reader of the ring. Invariant: `base <= held <= next <= end`, in numbers of entries; with a
/// disk, `next` may lie before `base`.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The sink's name.
    pub(crate) name: String,
    pub(crate) demand: Demand,
    /// The first entry in memory that is not wholly released.
    pub(crate) held: u64,
    /// The entry to read next.
    pub(crate) next: u64,
    /// The entry to read next is the first behind this position, somewhere on disk; its number is
    /// not known yet, and [`next`](Self::next) says nothing.
    pub(crate) seek: Option<Position>,
    /// Where it has started.
    pub(crate) started: Position,
    /// The last position that it was given, or the position that it has started from.
    pub(crate) at: Position,
    /// The last position that it has released.
    pub(crate) released: Position,
    /// The progress that it was told of.
    pub(crate) progress: Position,
    /// Entries behind this position were dropped before it could read them.
    pub(crate) lost_from: Option<Position>,
    /// It is in the list of those who wait for an append.
    pub(crate) waiting: bool,
}

impl Reader {
    pub(crate) fn new(name: String, demand: Demand, start: Position, base: u64) -> Self {
        Self {
            name,
            demand,
            held: base,
            next: base,
            seek: None,
            started: start,
            at: start,
            released: start,
            progress: start,
            lost_from: None,
            waiting: false,
        }
    }

    /// Where it reads next, when that is no longer in memory.
    pub(crate) fn place(&self, base: u64) -> Option<Place> {
        match self.seek {
            Some(position) => Some(Place::Behind(position)),
            None => (self.next < base).then_some(Place::Entry(self.next)),
        }
    }
}

/// How many readers hold an entry, which means that it is the first that they have not released.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holders {
    pub(crate) all: u32,
    pub(crate) required: u32,
}

impl Holders {
    pub(crate) fn add(&mut self, demand: Demand) {
        self.all += 1;
        self.required += u32::from(demand == Demand::Required);
    }

    pub(crate) fn remove(&mut self, demand: Demand) {
        debug_assert!(self.all > 0, "a holder is removed once");
        self.all = self.all.saturating_sub(1);
        if demand == Demand::Required {
            self.required = self.required.saturating_sub(1);
        }
    }
}
