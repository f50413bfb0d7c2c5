//! The segments of a log: what is known of each without reading it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walgate_core::{PgMicros, Position};

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentState {
    /// It is appended to.
    Active,
    /// It ends with its index; it never changes again.
    Sealed,
    /// It has no index and is never appended to: damage has kept it from being sealed, or another
    /// process is appending to it.
    Open,
}

/// What is known of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number; numbers grow, and may have holes where a recovery has deleted segments.
    pub number: u64,
    /// The number of its first entry.
    pub first_entry: u64,
    /// The number behind its last entry.
    pub end_entry: u64,
    /// Everything up to here lies before it.
    pub before: Position,
    /// No entry up to its end lies behind this position. At least `before`; progress does not
    /// count, since nobody can lack it.
    pub highest: Position,
    /// The end of the last whole transaction up to its end: every transaction whose `end_lsn` is
    /// at or below it lies before the segment's end. Its index is 0.
    pub whole: Position,
    /// When it was begun.
    pub created: PgMicros,
    /// When the next was begun: it holds nothing younger. None for the last.
    pub closed: Option<PgMicros>,
    /// The least and the greatest commit time in it, where they are known: the index of a sealed
    /// segment is read when somebody asks.
    pub commit_times: Option<(PgMicros, PgMicros)>,
    /// Its size in bytes, with what is appended and not yet written.
    pub bytes: u64,
    /// The size of the spool that belongs to it, in bytes: 0 where it names none.
    pub spool_bytes: u64,
    /// Its size before it was compressed, in bytes; none when it is not.
    pub packed_from: Option<u64>,
    /// Bytes that are written.
    pub written: u64,
    /// Bytes that survive a power cut.
    pub synced: u64,
    /// Where its records of data end: at the index, or at the end.
    pub data_end: u64,
    /// Whether it can grow.
    pub state: SegmentState,
}

impl Segment {
    /// What it takes of the disk in bytes, with its spool.
    pub const fn total_bytes(&self) -> u64 {
        self.bytes.saturating_add(self.spool_bytes)
    }

    /// Whether the entry of this number, found in it, counts. Recovery may have found less than a
    /// reader can read, with definitions of segments before: what it has not counted does not
    /// count, and its numbers are given again.
    pub(super) fn counts(&self, entry: u64) -> bool {
        self.state == SegmentState::Active || entry < self.end_entry
    }
}

/// The segments of a log, oldest first, shared by all its sides. Cheap to clone: all clones are the
/// same catalogue. Its lock is never held during I/O.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(Arc<Mutex<Segments>>);

#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) list: VecDeque<Segment>,
    /// Everything up to here is no longer kept; what the first segment says as long as there is one.
    gone: Position,
}

impl Segments {
    pub(super) fn get(&self, number: u64) -> Option<&Segment> {
        let place = self.place(number).ok()?;
        self.list.get(place)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Segment> {
        let place = self.place(number).ok()?;
        self.list.get_mut(place)
    }

    /// The first segment behind this number.
    pub(super) fn after(&self, number: u64) -> Option<&Segment> {
        let place = self.list.partition_point(|one| one.number <= number);
        self.list.get(place)
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        self.list.binary_search_by_key(&number, |one| one.number)
    }

    pub(super) fn push(&mut self, segment: Segment) {
        debug_assert!(
            self.list
                .back()
                .is_none_or(|last| last.number < segment.number),
            "segments come in the order of their numbers"
        );
        if self.list.is_empty() {
            self.gone = segment.before;
        }
        self.list.push_back(segment);
    }

    /// Forgets a segment that is deleted.
    pub(super) fn remove(&mut self, number: u64) {
        if let Ok(place) = self.place(number)
            && let Some(segment) = self.list.remove(place)
            && place == 0
        {
            self.gone = self.gone.max(segment.highest);
        }
    }
}

impl Segments {
    /// Forgets a segment that is deleted, and all before it.
    pub(super) fn remove_up_to(&mut self, number: u64) {
        while let Some(first) = self.list.front()
            && first.number <= number
        {
            self.remove(first.number);
        }
    }
}

impl Catalogue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Segments> {
        // Nothing panics while the lock is held; a poisoned catalogue is still a catalogue.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<Segment> {
        self.lock().list.iter().cloned().collect()
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.lock().list.len()
    }

    /// Whether there is no segment.
    pub fn is_empty(&self) -> bool {
        self.lock().list.is_empty()
    }

    /// The size of all segments in bytes, with their spools and what is appended and not yet
    /// written.
    pub fn bytes(&self) -> u64 {
        self.lock().list.iter().map(Segment::total_bytes).sum()
    }

    /// Everything up to here is not kept.
    pub fn oldest(&self) -> Position {
        let segments = self.lock();
        let first = segments.list.front();
        first.map_or(segments.gone, |segment| segment.before)
    }

    /// No entry that was appended lies behind this position.
    pub fn newest(&self) -> Position {
        let segments = self.lock();
        let last = segments.list.back();
        last.map_or(segments.gone, |segment| segment.highest)
    }

    /// When the oldest segment was begun.
    pub fn oldest_time(&self) -> Option<PgMicros> {
        self.lock().list.front().map(|segment| segment.created)
    }

    /// The numbers of the entries that are kept, and of the next that comes.
    pub fn entries(&self) -> std::ops::Range<u64> {
        let segments = self.lock();
        let first = segments.list.front().map_or(0, |first| first.first_entry);
        let end = segments.list.back().map_or(0, |last| last.end_entry);
        first..end
    }

    /// Bytes of the log from the first record on that holds anything behind `position`, counted in
    /// whole segments but for the last: how far a reader is behind.
    pub fn bytes_behind(&self, position: Position) -> u64 {
        let segments = self.lock();
        let behind = segments.list.iter().rev();
        behind
            .take_while(|segment| segment.highest > position)
            .map(Segment::total_bytes)
            .sum()
    }
}
