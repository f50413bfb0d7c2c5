//! The sparse index of a segment.

use bytes::Bytes;
use walgate_core::{Lsn, PgMicros, Position};

use super::cipher::SegmentLock;
use super::definitions::DefinitionCache;
use super::error::{EncodeError, Unreadable};
use super::fields::{Fields, put_count, put_position};
use super::header::SegmentHeader;
use super::reader::{Location, Record};
use super::record::{self, Flags, INDEX_ORDINAL, Kind, Opened, RECORD_HEADER_BYTES};
use super::reference::Adoption;
use super::survey::{CommitTimes, known};
use super::trailer::Trailer;
use super::{definition, gap};

/// How far index points lie apart, in bytes: what a seek reads in vain at most, about the size of
/// one read; 256 points for a segment of 64 MiB.
pub const INDEX_INTERVAL_BYTES: u64 = 256 << 10;

const POINT_BYTES: usize = 8 + 4 + 8 + 12 + 8;
const DEFINITION_BYTES: usize = 4 + 8 + 4 + 4;

/// A record of an entry where reading can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexPoint {
    /// Where the record starts in the file, in bytes.
    pub offset: u64,
    /// The record's ordinal in the segment.
    pub ordinal: u32,
    /// The entry's number.
    pub entry: u64,
    /// The highest position of all entries before the record: a reader that has everything up to
    /// here needs nothing before it.
    pub before: Position,
    /// The latest commit time of the transactions that begin before the record in this segment;
    /// minus infinity (`i64::MIN`) where there is none.
    pub newest_before: PgMicros,
}

impl IndexPoint {
    /// The point as a location.
    pub const fn location(&self) -> Location {
        Location {
            offset: self.offset,
            ordinal: self.ordinal,
            entry: self.entry,
        }
    }
}

/// Where a definition lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefinitionPoint {
    /// The definition's number in the journal.
    pub number: u32,
    /// Where its record starts in the file, in bytes.
    pub offset: u64,
    /// The record's ordinal in the segment.
    pub ordinal: u32,
    /// The record's length in the file, in bytes.
    pub len: u32,
}

impl DefinitionPoint {
    /// Takes the definition of segment number `segment` into the cache. `bytes` are the `len`
    /// bytes at `offset` of the file.
    ///
    /// # Errors
    /// When they are not that definition.
    pub fn load(
        &self,
        segment: u64,
        bytes: &[u8],
        cache: &mut DefinitionCache,
    ) -> Result<(), Unreadable> {
        self.load_with(segment, &SegmentLock::default(), bytes, cache)
    }

    /// The same of a segment with this lock.
    ///
    /// # Errors
    /// When they are not that definition, or the key is not there.
    pub fn load_with(
        &self,
        segment: u64,
        lock: &SegmentLock,
        bytes: &[u8],
        cache: &mut DefinitionCache,
    ) -> Result<(), Unreadable> {
        let wrong = || Unreadable::damage(self.offset, "the index names a definition that is none");
        match record::open(bytes, self.offset, segment, self.ordinal)? {
            Opened::Record(kind @ Kind::Definition, len, flags) => {
                let body = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + len);
                let mut body = Bytes::copy_from_slice(body.unwrap_or_default());
                if flags.has(Flags::ENCRYPTED) {
                    let place = (segment, self.ordinal);
                    body = lock.open(place, self.offset, (kind, flags), &body)?;
                }
                let at = self.offset.saturating_add(RECORD_HEADER_BYTES as u64);
                let fields = Fields::new(&body, at);
                let (number, relation) = definition::decode(fields)?;
                if number != self.number || cache.define(segment, number, relation).is_none() {
                    return Err(wrong());
                }
                Ok(())
            }
            Opened::Record(..) | Opened::Incomplete(_) | Opened::Zeros => Err(wrong()),
        }
    }
}

/// What lies in a segment and where. It is built while records are written or scanned, and is the
/// last record of a sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentIndex {
    /// The number of the first entry, or what it would be.
    pub first_entry: u64,
    /// How many entries there are; one that is damaged counts.
    pub entries: u64,
    /// The highest position of all entries before this segment.
    pub before: Position,
    /// The highest position of all entries up to the end of this segment. Progress does not count:
    /// it holds nothing that a reader could lack.
    pub last: Position,
    /// Everything that commits below this lies in the log up to the end of this segment; `None`
    /// when nothing in this segment says so.
    pub whole: Option<Lsn>,
    /// Commit times of the transactions that begin in this segment.
    pub times: CommitTimes,
    /// One above all definition numbers that were given out up to the end of this segment.
    pub next_definition: u32,
    /// Points where reading can begin, in order; the first is the first entry, unless that was
    /// damaged already when the index was built.
    pub points: Vec<IndexPoint>,
    /// The definitions, in order.
    pub definitions: Vec<DefinitionPoint>,
}

impl SegmentIndex {
    /// That of a segment with nothing but a header.
    pub const fn new(header: &SegmentHeader) -> Self {
        Self {
            first_entry: header.first_entry,
            entries: 0,
            before: header.before,
            last: header.before,
            whole: None,
            times: CommitTimes::NONE,
            next_definition: header.next_definition,
            points: Vec::new(),
            definitions: Vec::new(),
        }
    }

    /// The number of the entry that follows this segment.
    pub const fn next_entry(&self) -> u64 {
        self.first_entry.saturating_add(self.entries)
    }

    /// Where to begin to find entry `number`: the last point at or before it.
    pub fn point_of_entry(&self, number: u64) -> Option<&IndexPoint> {
        let behind = self.points.partition_point(|point| point.entry <= number);
        self.points.get(behind.checked_sub(1)?)
    }

    /// Where a reader begins that has everything up to `position`: the last point with nothing
    /// above it before. `None` when something of that lies before this segment, or it is empty.
    pub fn point_behind(&self, position: Position) -> Option<&IndexPoint> {
        let behind = self
            .points
            .partition_point(|point| point.before <= position);
        self.points.get(behind.checked_sub(1)?)
    }

    /// Where to begin to find the first transaction of this segment that was committed at `time`
    /// or later: the last point with none of them before.
    pub fn point_of_time(&self, time: PgMicros) -> Option<&IndexPoint> {
        let behind = self
            .points
            .partition_point(|point| point.newest_before < time);
        self.points.get(behind.checked_sub(1)?)
    }

    /// The first point at or behind `offset` of the file: where to go on behind damage.
    pub fn point_at_or_behind(&self, offset: u64) -> Option<&IndexPoint> {
        let before = self.points.partition_point(|point| point.offset < offset);
        self.points.get(before)
    }

    /// The definitions that lie before `offset` of the file: what a reader that begins there has
    /// to [load](DefinitionPoint::load), as far as its cache lacks it.
    pub fn definitions_before(&self, offset: u64) -> &[DefinitionPoint] {
        let end = self
            .definitions
            .partition_point(|definition| definition.offset < offset);
        self.definitions.get(..end).unwrap_or_default()
    }

    /// Takes in a record that was read at `at` and takes `len` bytes of the file.
    pub fn note(&mut self, at: Location, len: u32, record: &Record) {
        match record {
            Record::Definition { number, .. } => self.note_definition(at, len, *number),
            Record::Run(run) => self.note_entry(at, run.last, run.whole, run.times),
            Record::Gap { epoch, gap, .. } => {
                let last = gap::end_of(*epoch, gap);
                self.note_entry(at, last, Some(gap.to), CommitTimes::NONE);
            }
            Record::Reference(reference) => self.note_reference(at, &reference.adoption),
            Record::Progress { lsn, .. } => self.note_progress(*lsn),
            Record::Locked { entries, .. } => {
                self.entries = self.entries.saturating_add(*entries);
            }
            Record::Index(_) => {}
        }
    }

    pub(super) fn note_definition(&mut self, at: Location, len: u32, number: u32) {
        self.next_definition = self.next_definition.max(number.saturating_add(1));
        self.definitions.push(DefinitionPoint {
            number,
            offset: at.offset,
            ordinal: at.ordinal,
            len,
        });
    }

    pub(super) fn note_entry(
        &mut self,
        at: Location,
        last: Position,
        whole: Option<Lsn>,
        times: CommitTimes,
    ) {
        let due = self
            .points
            .last()
            .is_none_or(|point| at.offset.saturating_sub(point.offset) >= INDEX_INTERVAL_BYTES);
        if due {
            self.points.push(IndexPoint {
                offset: at.offset,
                ordinal: at.ordinal,
                entry: at.entry,
                before: self.last,
                newest_before: self.times.newest,
            });
        }
        self.entries = self.entries.saturating_add(1);
        self.last = self.last.max(last);
        self.whole = self.whole.max(known(whole));
        self.times = self.times.and(times);
    }

    pub(super) fn note_reference(&mut self, at: Location, adoption: &Adoption) {
        let whole = Some(adoption.end_lsn);
        self.note_entry(at, adoption.last(), whole, adoption.times());
        // One of its entries is counted.
        self.entries = self.entries.saturating_add(adoption.entries() - 1);
    }

    pub(super) fn note_progress(&mut self, lsn: Lsn) {
        self.whole = self.whole.max(known(Some(lsn)));
    }

    /// Appends the index's record and the trailer for segment number `segment`, of which the
    /// records so far end at `offset`. Also seals a segment whose index was built by scanning it.
    ///
    /// # Errors
    /// When the index is too large for a record.
    pub fn seal(&self, segment: u64, offset: u64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = record::begin(out, Kind::Index);
        out.extend_from_slice(&self.first_entry.to_le_bytes());
        out.extend_from_slice(&self.entries.to_le_bytes());
        put_position(out, self.before);
        put_position(out, self.last);
        out.extend_from_slice(&self.whole.unwrap_or_default().0.to_le_bytes());
        out.extend_from_slice(&self.times.oldest.0.to_le_bytes());
        out.extend_from_slice(&self.times.newest.0.to_le_bytes());
        out.extend_from_slice(&self.next_definition.to_le_bytes());
        put_count(out, self.points.len());
        for point in &self.points {
            out.extend_from_slice(&point.offset.to_le_bytes());
            out.extend_from_slice(&point.ordinal.to_le_bytes());
            out.extend_from_slice(&point.entry.to_le_bytes());
            put_position(out, point.before);
            out.extend_from_slice(&point.newest_before.0.to_le_bytes());
        }
        put_count(out, self.definitions.len());
        for definition in &self.definitions {
            out.extend_from_slice(&definition.number.to_le_bytes());
            out.extend_from_slice(&definition.offset.to_le_bytes());
            out.extend_from_slice(&definition.ordinal.to_le_bytes());
            out.extend_from_slice(&definition.len.to_le_bytes());
        }
        record::finish(out, start, segment, INDEX_ORDINAL)?;
        let trailer = Trailer {
            index_offset: offset,
        };
        trailer.encode(segment, out);
        Ok(())
    }

    /// Reads the index of segment number `segment`, whose trailer says that it lies at `offset`.
    /// `bytes`: the file from there on, up to the trailer or its end.
    ///
    /// # Errors
    /// When no sound index lies there.
    pub fn decode(segment: u64, offset: u64, bytes: &[u8]) -> Result<Self, Unreadable> {
        match record::open(bytes, offset, segment, INDEX_ORDINAL)? {
            Opened::Record(Kind::Index, len, _) => {
                let body = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + len);
                let at = offset.saturating_add(RECORD_HEADER_BYTES as u64);
                Self::decode_body(Fields::new(body.unwrap_or_default(), at), offset)
            }
            Opened::Record(..) | Opened::Incomplete(_) | Opened::Zeros => Err(Unreadable::damage(
                offset,
                "the trailer names an index that is none",
            )),
        }
    }

    /// `end`: where the index's own record starts; everything that it names lies before.
    pub(super) fn decode_body(mut fields: Fields<'_>, end: u64) -> Result<Self, Unreadable> {
        let start = fields;
        let mut index = Self {
            first_entry: fields.u64("an index without first entry")?,
            entries: fields.u64("an index without its count of entries")?,
            before: fields.position("an index without begin")?,
            last: fields.position("an index without last position")?,
            whole: fields.lsn_or_none("an index without whole position")?,
            times: CommitTimes {
                oldest: fields.time("an index without commit times")?,
                newest: fields.time("an index without commit times")?,
            },
            next_definition: fields.u32("an index without definition number")?,
            points: Vec::new(),
            definitions: Vec::new(),
        };
        let points = fields.count("an index with too many points", POINT_BYTES)?;
        index.points.reserve_exact(points);
        for _ in 0..points {
            index.points.push(IndexPoint {
                offset: fields.u64("an index without its points")?,
                ordinal: fields.u32("an index without its points")?,
                entry: fields.u64("an index without its points")?,
                before: fields.position("an index without its points")?,
                newest_before: fields.time("an index without its points")?,
            });
        }
        let definitions = fields.count("an index with too many definitions", DEFINITION_BYTES)?;
        index.definitions.reserve_exact(definitions);
        for _ in 0..definitions {
            index.definitions.push(DefinitionPoint {
                number: fields.u32("an index without its definitions")?,
                offset: fields.u64("an index without its definitions")?,
                ordinal: fields.u32("an index without its definitions")?,
                len: fields.u32("an index without its definitions")?,
            });
        }
        fields.end()?;
        if !index.is_sound(end) {
            return Err(start.damage("an index that contradicts itself"));
        }
        Ok(index)
    }

    /// Whether everything rises as it must for a search, and lies before `end`.
    fn is_sound(&self, end: u64) -> bool {
        let entries = self.first_entry.checked_add(self.entries);
        self.points
            .first()
            .is_none_or(|point| point.entry >= self.first_entry && point.before >= self.before)
            && self.before <= self.last
            && self.points.is_sorted_by(|a, b| {
                a.offset < b.offset
                    && a.ordinal < b.ordinal
                    && a.entry < b.entry
                    && a.before <= b.before
                    && a.newest_before <= b.newest_before
            })
            && self.points.last().is_none_or(|point| {
                point.offset < end
                    && Some(point.entry) < entries
                    && point.before <= self.last
                    && point.newest_before <= self.times.newest
            })
            && entries.is_some()
            && self
                .definitions
                .is_sorted_by(|a, b| a.offset < b.offset && a.ordinal < b.ordinal)
            && self.definitions.iter().all(|definition| {
                definition.number < self.next_definition
                    && definition
                        .offset
                        .checked_add(u64::from(definition.len))
                        .is_some_and(|behind| behind <= end)
            })
    }
}
