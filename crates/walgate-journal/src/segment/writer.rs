//! Writing a segment.

use std::collections::HashSet;
use std::sync::Arc;

use walgate_core::{Frames, Gap, Lsn, Position, Relation};

use super::cipher::SegmentLock;
use super::definitions::Definitions;
use super::error::EncodeError;
use super::header::SegmentHeader;
use super::index::SegmentIndex;
use super::keyring::Keyring;
use super::reader::Location;
use super::record::{self, Kind, MAX_RECORD_BYTES, RECORD_HEADER_BYTES};
use super::reference::Adoption;
use super::survey::{CommitTimes, Survey};
use super::{definition, gap, reference, run};

/// Appends the records of one segment to buffers of the caller's.
///
/// Each call appends whole records; what all calls have appended, one after the other, is the
/// file. A call that fails appends nothing but, at most, definitions, and can be followed by
/// others.
#[derive(Debug)]
pub struct SegmentWriter {
    segment: u64,
    epoch: u8,
    next: Location,
    index: SegmentIndex,
    /// Numbers of the definitions that this segment has.
    defined: HashSet<u32>,
    /// The definitions of the run that is being written; kept for its memory.
    numbers: Vec<u32>,
    /// Encrypts every record but the index.
    lock: SegmentLock,
    holds_reference: bool,
}

impl SegmentWriter {
    /// Begins a segment: appends magic and header.
    ///
    /// # Errors
    /// When the header is too large for a record.
    pub fn begin(header: &SegmentHeader, out: &mut Vec<u8>) -> Result<Self, EncodeError> {
        Self::begin_with(header, &Keyring::default(), out)
    }

    /// The same, encrypted with a new key where the keys are there to encrypt.
    ///
    /// # Errors
    /// When the header is too large for a record, or there are no random bytes for a key.
    pub fn begin_with(
        header: &SegmentHeader,
        keys: &Keyring,
        out: &mut Vec<u8>,
    ) -> Result<Self, EncodeError> {
        let before = out.len();
        let key = keys.new_key()?;
        let lock = SegmentLock::of(key.as_ref());
        header.encode(None, key, out)?;
        Ok(Self {
            segment: header.number,
            epoch: header.facts.epoch,
            next: Location {
                offset: (out.len() - before) as u64,
                ordinal: 1,
                entry: header.first_entry,
            },
            index: SegmentIndex::new(header),
            defined: HashSet::new(),
            numbers: Vec::new(),
            lock,
            holds_reference: false,
        })
    }

    /// The segment's number.
    pub const fn segment(&self) -> u64 {
        self.segment
    }

    /// How long the segment is so far, in bytes: the offset at which the next call appends.
    pub const fn len(&self) -> u64 {
        self.next.offset
    }

    /// Never: a segment begins with its header.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The number of the next entry.
    pub const fn next_entry(&self) -> u64 {
        self.next.entry
    }

    /// The highest position of all entries up to here, before this segment too.
    pub const fn last(&self) -> Position {
        self.index.last
    }

    /// Everything that commits below this lies in the log up to here; `None` when nothing in this
    /// segment says so.
    pub const fn whole(&self) -> Option<Lsn> {
        self.index.whole
    }

    /// What lies in the segment so far and where.
    pub const fn index(&self) -> &SegmentIndex {
        &self.index
    }

    /// Appends frames as an entry, the definitions that the segment lacks before it, or, without
    /// frames, their progress. Returns where the entry lies; `None` when it is none.
    ///
    /// # Errors
    /// When the frames are not sound, too large, of another epoch, or numbers are used up.
    pub fn append(
        &mut self,
        frames: &Frames,
        definitions: &mut Definitions,
        out: &mut Vec<u8>,
    ) -> Result<Option<Location>, EncodeError> {
        if frames.frames.is_empty() {
            if let Some(lsn) = frames.progress {
                self.progress(lsn, out)?;
            }
            return Ok(None);
        }
        if frames.epoch != self.epoch {
            return Err(EncodeError::Frames("another epoch than the segment's"));
        }
        let survey = Survey::of(frames).map_err(EncodeError::Frames)?;
        let bytes = usize::try_from(run::body_bytes(frames, &survey)).unwrap_or(usize::MAX);
        if bytes > MAX_RECORD_BYTES {
            return Err(EncodeError::TooLarge { bytes });
        }
        self.define(&frames.relations, definitions, out)?;
        out.reserve(RECORD_HEADER_BYTES + bytes);
        let start = record::begin(out, Kind::Run);
        run::put(out, self.next.entry, frames, &self.numbers, &survey);
        let (at, _) = self.finish(out, start)?;
        self.note_entry(at, survey.last, survey.whole, survey.times);
        Ok(Some(at))
    }

    /// Appends a transaction whose changes lie in a spool, and before it the definitions that the
    /// segment lacks. It has to be the first in its segment, and nothing may follow but the index.
    /// Returns where it lies.
    ///
    /// # Errors
    /// When the segment holds entries, it is of another epoch, or too large.
    pub fn reference(
        &mut self,
        adoption: &Adoption,
        definitions: &mut Definitions,
        out: &mut Vec<u8>,
    ) -> Result<Location, EncodeError> {
        if adoption.epoch != self.epoch {
            return Err(EncodeError::Frames("another epoch than the segment's"));
        }
        if self.index.entries > 0 {
            return Err(EncodeError::Frames("a reference behind other entries"));
        }
        let bytes = reference::body_bytes(adoption);
        if bytes > MAX_RECORD_BYTES {
            return Err(EncodeError::TooLarge { bytes });
        }
        self.define(&adoption.relations, definitions, out)?;
        let start = record::begin(out, Kind::Reference);
        reference::put(out, self.next.entry, adoption, &self.numbers);
        let (at, _) = self.finish(out, start)?;
        self.next.entry += adoption.entries();
        self.index.note_reference(at, adoption);
        self.holds_reference = true;
        Ok(at)
    }

    /// Whether it holds a [reference](Self::reference): nothing may follow but the index.
    pub const fn holds_reference(&self) -> bool {
        self.holds_reference
    }

    /// Appends a gap as an entry. Returns where it lies.
    ///
    /// # Errors
    /// When record numbers are used up.
    pub fn gap(&mut self, gap: &Gap, out: &mut Vec<u8>) -> Result<Location, EncodeError> {
        let start = record::begin(out, Kind::Gap);
        gap::put(out, self.next.entry, self.epoch, gap);
        let (at, _) = self.finish(out, start)?;
        let last = gap::end_of(self.epoch, gap);
        self.note_entry(at, last, Some(gap.to), CommitTimes::NONE);
        Ok(at)
    }

    /// Appends that everything that commits below `lsn` has been handed over. This is no entry.
    ///
    /// # Errors
    /// When record numbers are used up.
    pub fn progress(&mut self, lsn: Lsn, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = record::begin(out, Kind::Progress);
        gap::put_progress(out, self.epoch, lsn);
        self.finish(out, start)?;
        self.index.note_progress(lsn);
        Ok(())
    }

    /// Appends index and trailer: nothing may follow. Returns the index and the segment's length
    /// in bytes.
    ///
    /// # Errors
    /// When the index is too large for a record.
    pub fn seal(self, out: &mut Vec<u8>) -> Result<(SegmentIndex, u64), EncodeError> {
        let before = out.len();
        self.index.seal(self.segment, self.next.offset, out)?;
        let len = self.next.offset + (out.len() - before) as u64;
        Ok((self.index, len))
    }

    /// Numbers the relations and writes those that this segment lacks.
    fn define(
        &mut self,
        relations: &[Arc<Relation>],
        definitions: &mut Definitions,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.numbers.clear();
        for relation in relations {
            let number = definitions.number(relation)?;
            self.numbers.push(number);
            if self.defined.contains(&number) {
                continue;
            }
            let start = record::begin(out, Kind::Definition);
            definition::put(out, number, relation);
            let (at, len) = self.finish(out, start)?;
            self.defined.insert(number);
            self.index.note_definition(at, len, number);
        }
        Ok(())
    }

    fn note_entry(&mut self, at: Location, last: Position, whole: Option<Lsn>, times: CommitTimes) {
        self.next.entry += 1;
        self.index.note_entry(at, last, whole, times);
    }

    /// Finishes the record that starts at `start` of `out`. Returns where it lies in the segment,
    /// and its length.
    fn finish(&mut self, out: &mut Vec<u8>, start: usize) -> Result<(Location, u32), EncodeError> {
        let at = self.next;
        // The reader's bound: it keeps one ordinal in hand, and the last belongs to the index.
        if at.ordinal >= u32::MAX - 1 {
            out.truncate(start);
            return Err(EncodeError::UsedUp("record"));
        }
        let len = record::finish_with(out, start, self.segment, at.ordinal, self.lock.cipher())?;
        self.next.offset += u64::from(len);
        self.next.ordinal += 1;
        Ok((at, len))
    }
}
