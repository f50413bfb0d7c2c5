//! Reading a segment record by record.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use walgate_core::{Gap, Lsn, Relation};

use super::definitions::DefinitionCache;
use super::error::Unreadable;
use super::fields::Fields;
use super::header::{MAGIC, SegmentHeader};
use super::index::SegmentIndex;
use super::record::{self, Kind, Opened, RECORD_HEADER_BYTES};
use super::run::{self, Run};
use super::trailer::{TRAILER_BYTES, Trailer};
use super::{definition, gap};

/// Where a record lies, and what a reader has to know to begin there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Where the record starts in the file, in bytes.
    pub offset: u64,
    /// The record's ordinal in the segment, which is part of its checksum.
    pub ordinal: u32,
    /// The number of its entry; for a record that is no entry, of the next that is one.
    pub entry: u64,
}

/// What a record holds.
#[derive(Debug, Clone)]
pub enum Record {
    /// A definition; it is in the cache.
    Definition {
        /// Its number in the journal.
        number: u32,
        /// What it defines.
        relation: Arc<Relation>,
    },
    /// An entry: frames.
    Run(Run),
    /// An entry: changes are lost.
    Gap {
        /// Its number in the log.
        entry: u64,
        /// The epoch of its LSNs.
        epoch: u8,
        /// What is lost.
        gap: Gap,
    },
    /// Everything that commits below the LSN lies before this record.
    Progress {
        /// The epoch of the LSN.
        epoch: u8,
        /// The LSN.
        lsn: Lsn,
    },
    /// The index: the segment is sealed.
    Index(SegmentIndex),
}

/// What the start of a segment holds.
#[derive(Debug, Clone)]
pub enum Start {
    /// A sound header. It was taken off the chunk; the reader goes on behind it.
    Segment(Box<SegmentHeader>, SegmentReader),
    /// The chunk ends before the header does: it has to hold this many bytes. See
    /// [`Next::Incomplete`].
    Incomplete(usize),
}

/// What comes next in a segment.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives from one call to the next, and most of them are runs"
)]
pub enum Next {
    /// A record. It was taken off the chunk, and takes this many bytes in the file.
    Record(Location, u32, Record),
    /// The chunk ends before the record does, or is empty. The chunk has to hold this many bytes
    /// from [`SegmentReader::offset`] on. A damaged length claims up to 2 GiB: whoever reads them
    /// looks first whether the file has them. If it has not, the tail is torn, unless the chunk is
    /// empty: then the segment just ends.
    Incomplete(usize),
    /// The segment has no more records.
    End(End),
}

/// How a segment's records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With zeros: space that was never written.
    Zeros,
    /// With index and trailer.
    Sealed,
}

/// Reads the records of one segment in order, from chunks of its file.
#[derive(Debug, Clone)]
pub struct SegmentReader {
    segment: u64,
    next: Location,
    sealed: bool,
}

impl SegmentReader {
    /// Reads magic and header at the start of a file, which should be that of segment number
    /// `segment`.
    ///
    /// # Errors
    /// When they are damaged, or of a later version.
    pub fn open(segment: u64, chunk: &mut Bytes) -> Result<Start, Unreadable> {
        let known = chunk.len().min(MAGIC.len());
        if chunk.get(..known) != MAGIC.get(..known) {
            return Err(Unreadable::damage(0, "no segment's first bytes"));
        }
        let Some((_, behind)) = chunk.split_first_chunk::<{ MAGIC.len() }>() else {
            return Ok(Start::Incomplete(MAGIC.len() + RECORD_HEADER_BYTES));
        };
        let offset = MAGIC.len() as u64;
        let len = match record::open(behind, offset, segment, 0)? {
            Opened::Record(Kind::Header, len) => len,
            Opened::Record(..) => {
                return Err(Unreadable::damage(offset, "a segment without header"));
            }
            Opened::Zeros => {
                return Err(Unreadable::damage(
                    offset,
                    "zeros where the header should be",
                ));
            }
            Opened::Incomplete(needed) => return Ok(Start::Incomplete(MAGIC.len() + needed)),
        };
        let body = MAGIC.len() + RECORD_HEADER_BYTES;
        let fields = Fields::new(chunk.get(body..body + len).unwrap_or_default(), body as u64);
        let header = SegmentHeader::decode(fields)?;
        if header.number != segment {
            return Err(Unreadable::damage(offset, "a header of another segment"));
        }
        chunk.advance(body + len);
        let first = Location {
            offset: (body + len) as u64,
            ordinal: 1,
            entry: header.first_entry,
        };
        let reader = Self::resume(segment, first);
        Ok(Start::Segment(Box::new(header), reader))
    }

    /// Goes on at a record of segment number `segment`. The definitions before it have to be in
    /// the cache.
    pub const fn resume(segment: u64, at: Location) -> Self {
        Self {
            segment,
            next: at,
            sealed: false,
        }
    }

    /// The segment's number.
    pub const fn segment(&self) -> u64 {
        self.segment
    }

    /// Where the next record begins: its offset is where the chunk has to start.
    pub const fn location(&self) -> Location {
        self.next
    }

    /// The offset in the file, in bytes, at which the chunk has to start.
    pub const fn offset(&self) -> u64 {
        self.next.offset
    }

    /// Takes the next record off the chunk, which starts at [`offset`](Self::offset) of the file.
    /// What is not a record leaves chunk and reader as they are, so it can be asked again with a
    /// longer chunk.
    ///
    /// # Errors
    /// When the record is damaged, or of a later version.
    pub fn next(
        &mut self,
        chunk: &mut Bytes,
        cache: &mut DefinitionCache,
    ) -> Result<Next, Unreadable> {
        let Location {
            offset, ordinal, ..
        } = self.next;
        if self.sealed {
            return match chunk.is_empty() {
                true => Ok(Next::End(End::Sealed)),
                false => Err(Unreadable::damage(offset, "bytes behind the trailer")),
            };
        }
        let (kind, len) = match record::open(chunk, offset, self.segment, ordinal)? {
            Opened::Record(kind, len) => (kind, len),
            Opened::Incomplete(needed) => return Ok(Next::Incomplete(needed)),
            Opened::Zeros => return Ok(Next::End(End::Zeros)),
        };
        let end = RECORD_HEADER_BYTES + len;
        let body = chunk.slice(RECORD_HEADER_BYTES..end);
        let behind = offset.saturating_add(end as u64);
        let record = self.decode(kind, &body, cache)?;
        let mut taken = end;
        if kind == Kind::Index {
            let rest = chunk.get(end..).unwrap_or_default();
            if Trailer::behind(self.segment, offset, rest, behind)?.is_none() {
                return Ok(Next::Incomplete(end + TRAILER_BYTES));
            }
            taken += TRAILER_BYTES;
        }
        let at = self.next;
        let ordinal = ordinal.checked_add(1).filter(|next| *next != u32::MAX);
        let entries = u64::from(matches!(kind, Kind::Run | Kind::Gap));
        self.next = Location {
            offset: offset.saturating_add(taken as u64),
            ordinal: ordinal
                .ok_or_else(|| Unreadable::damage(offset, "more records than a segment has"))?,
            entry: at.entry.saturating_add(entries),
        };
        self.sealed = kind == Kind::Index;
        chunk.advance(taken);
        // At most 2^31 + 27.
        Ok(Next::Record(at, taken as u32, record))
    }

    fn decode(
        &self,
        kind: Kind,
        body: &Bytes,
        cache: &mut DefinitionCache,
    ) -> Result<Record, Unreadable> {
        let Location { offset, entry, .. } = self.next;
        let at = offset.saturating_add(RECORD_HEADER_BYTES as u64);
        let fields = Fields::new(body, at);
        let numbered = |number: u64| match number == entry {
            true => Ok(()),
            false => Err(Unreadable::damage(offset, "an entry out of its turn")),
        };
        Ok(match kind {
            Kind::Header => {
                return Err(Unreadable::damage(offset, "a second header in a segment"));
            }
            Kind::Definition => {
                let (number, relation) = definition::decode(fields)?;
                let relation = cache
                    .define(self.segment, number, relation)
                    .ok_or_else(|| {
                        Unreadable::damage(
                            offset,
                            "a definition number that has another definition",
                        )
                    })?;
                Record::Definition { number, relation }
            }
            Kind::Run => {
                let run = run::decode(
                    fields,
                    body,
                    RECORD_HEADER_BYTES + body.len(),
                    (self.segment, cache),
                )?;
                numbered(run.entry)?;
                Record::Run(run)
            }
            Kind::Gap => {
                let (number, epoch, gap) = gap::decode(fields)?;
                numbered(number)?;
                Record::Gap {
                    entry: number,
                    epoch,
                    gap,
                }
            }
            Kind::Progress => {
                let (epoch, lsn) = gap::decode_progress(fields)?;
                Record::Progress { epoch, lsn }
            }
            Kind::Index => {
                let index = SegmentIndex::decode_body(fields, offset)?;
                if index.next_entry() != entry {
                    let what = "an index that counts other entries than there are";
                    return Err(Unreadable::damage(offset, what));
                }
                Record::Index(index)
            }
        })
    }
}
