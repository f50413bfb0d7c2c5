//! Reading a segment record by record.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use walgate_core::{Gap, Lsn, Relation};

use super::cipher::SegmentLock;
use super::definitions::DefinitionCache;
use super::error::Unreadable;
use super::fields::Fields;
use super::header::{MAGIC, SegmentHeader};
use super::index::SegmentIndex;
use super::keyring::Keyring;
use super::record::{self, Kind, Opened, RECORD_HEADER_BYTES};
use super::reference::Reference;
use super::run::Run;
use super::trailer::{TRAILER_BYTES, Trailer};

mod decode;

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
    /// Several entries: a transaction whose changes lie in a spool.
    Reference(Box<Reference>),
    /// The index: the segment is sealed.
    Index(SegmentIndex),
    /// Something that is encrypted with a key that is not there: only for a reader that
    /// [passes it](SegmentReader::pass_locked).
    Locked {
        /// How many entries it holds.
        entries: u64,
        /// Whether it is a reference to a spool.
        reference: bool,
    },
}

impl Record {
    /// How many entries it is.
    pub(super) fn entries(&self) -> u64 {
        match self {
            Self::Run(_) | Self::Gap { .. } => 1,
            Self::Reference(reference) => reference.adoption.entries(),
            Self::Locked { entries, .. } => *entries,
            Self::Definition { .. } | Self::Progress { .. } | Self::Index(_) => 0,
        }
    }
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
    /// A record, and how many bytes it has; in a block, before they were compressed. It was taken off
    /// the chunk, a block with its last record.
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
    lock: SegmentLock,
    pass_locked: bool,
    packed_from: Option<u64>,
    /// What is left of the block at `next`, whose `entry` is that of the first of them.
    inside: VecDeque<Inner>,
    /// The block's bytes in the file.
    block_bytes: usize,
    /// Whether `body` is kept.
    keep_bodies: bool,
    /// The plain body of the record that was taken last.
    body: Bytes,
}

/// A record's body.
enum Body {
    Plain(Bytes),
    /// It can't be read without its key; it holds so many entries.
    Locked(u64),
}

/// A record in a block.
#[derive(Debug, Clone)]
struct Inner {
    record: Record,
    /// Its bytes in the block.
    len: u32,
}

impl SegmentReader {
    /// Reads magic and header at the start of a file, which should be that of segment number
    /// `segment`.
    ///
    /// # Errors
    /// When they are damaged, or of a later version.
    pub fn open(segment: u64, chunk: &mut Bytes) -> Result<Start, Unreadable> {
        Self::open_with(segment, chunk, &Keyring::default())
    }

    /// The same of a segment that may be encrypted. A key that is not there is found missing when a
    /// record needs it.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(segment: u64, chunk: &mut Bytes, keys: &Keyring) -> Result<Start, Unreadable> {
        let known = chunk.len().min(MAGIC.len());
        if chunk.get(..known) != MAGIC.get(..known) {
            return Err(Unreadable::damage(0, "no segment's first bytes"));
        }
        let Some((_, behind)) = chunk.split_first_chunk::<{ MAGIC.len() }>() else {
            return Ok(Start::Incomplete(MAGIC.len() + RECORD_HEADER_BYTES));
        };
        let offset = MAGIC.len() as u64;
        let (len, flags) = match record::open(behind, offset, segment, 0)? {
            Opened::Record(Kind::Header, len, flags) => (len, flags),
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
        let bytes = chunk.get(body..body + len).unwrap_or_default();
        let fields = Fields::new(bytes, body as u64);
        let (header, extension) = SegmentHeader::decode(fields, bytes, flags, keys)?;
        if header.number != segment {
            return Err(Unreadable::damage(offset, "a header of another segment"));
        }
        chunk.advance(body + len);
        let first = Location {
            offset: (body + len) as u64,
            ordinal: 1,
            entry: header.first_entry,
        };
        let mut reader = Self::resume(segment, first).with_lock(extension.lock);
        reader.packed_from = extension.packed_from;
        Ok(Start::Segment(Box::new(header), reader))
    }

    /// Goes on at a record of segment number `segment`. The definitions before it have to be in
    /// the cache.
    pub const fn resume(segment: u64, at: Location) -> Self {
        Self {
            segment,
            next: at,
            sealed: false,
            lock: SegmentLock::NONE,
            pass_locked: false,
            packed_from: None,
            inside: VecDeque::new(),
            block_bytes: 0,
            keep_bodies: false,
            body: Bytes::new(),
        }
    }

    /// With the lock of the same segment, as a reader that has [opened](Self::open_with) it has it.
    #[must_use]
    pub fn with_lock(mut self, lock: SegmentLock) -> Self {
        self.lock = lock;
        self
    }

    /// What is encrypted with a key that is not there comes as [`Record::Locked`], and is no error:
    /// for who looks only whether the bytes are sound.
    pub const fn pass_locked(&mut self) {
        self.pass_locked = true;
    }

    /// Keeps the plain body of each record, for [`body`](Self::body). Of the records in a block
    /// none is kept.
    pub const fn keep_bodies(&mut self) {
        self.keep_bodies = true;
    }

    /// The plain body of the record that was taken last.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Of a segment that is known to be compressed, or not to be.
    #[must_use]
    pub(crate) const fn known_packed_from(mut self, bytes: Option<u64>) -> Self {
        self.packed_from = bytes;
        self
    }

    /// The segment's lock.
    pub const fn lock(&self) -> &SegmentLock {
        &self.lock
    }

    /// How long the segment was before it was compressed, in bytes; none when it is not, or the
    /// reader has not begun at its start.
    pub const fn packed_from(&self) -> Option<u64> {
        self.packed_from
    }

    /// Whether a part of a block was taken, and the rest of it comes next.
    pub fn is_in_block(&self) -> bool {
        !self.inside.is_empty()
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
        if !self.inside.is_empty() {
            return self.next_inside(chunk);
        }
        let (kind, len, flags) = match record::open(chunk, offset, self.segment, ordinal)? {
            Opened::Record(kind, len, flags) => (kind, len, flags),
            Opened::Incomplete(needed) => return Ok(Next::Incomplete(needed)),
            Opened::Zeros => return Ok(Next::End(End::Zeros)),
        };
        let end = RECORD_HEADER_BYTES + len;
        let body = chunk.slice(RECORD_HEADER_BYTES..end);
        let behind = offset.saturating_add(end as u64);
        let record = match self.unlock(kind, flags, body)? {
            Body::Locked(entries) => Record::Locked {
                entries,
                reference: kind == Kind::Reference,
            },
            Body::Plain(plain) if kind == Kind::Block => {
                self.inside = self.decode_block(flags, plain, cache)?;
                self.block_bytes = end;
                return self.next_inside(chunk);
            }
            Body::Plain(plain) => {
                let record = self.decode(kind, &plain, (self.next.entry, end), cache)?;
                if self.keep_bodies {
                    self.body = plain;
                }
                record
            }
        };
        let mut taken = end;
        if kind == Kind::Index {
            let rest = chunk.get(end..).unwrap_or_default();
            if Trailer::behind(self.segment, offset, rest, behind)?.is_none() {
                return Ok(Next::Incomplete(end + TRAILER_BYTES));
            }
            taken += TRAILER_BYTES;
        }
        let at = self.next;
        self.next = self.behind(taken, at.entry.saturating_add(record.entries()))?;
        self.sealed = kind == Kind::Index;
        chunk.advance(taken);
        // At most 2^31 + 27.
        Ok(Next::Record(at, taken as u32, record))
    }

    /// Behind the record at hand, which takes `taken` bytes.
    fn behind(&self, taken: usize, entry: u64) -> Result<Location, Unreadable> {
        let Location {
            offset, ordinal, ..
        } = self.next;
        let ordinal = ordinal.checked_add(1).filter(|next| *next != u32::MAX);
        Ok(Location {
            offset: offset.saturating_add(taken as u64),
            ordinal: ordinal
                .ok_or_else(|| Unreadable::damage(offset, "more records than a segment has"))?,
            entry,
        })
    }

    /// Takes the next record out of the block.
    fn next_inside(&mut self, chunk: &mut Bytes) -> Result<Next, Unreadable> {
        let at = self.next;
        let Some(Inner { record, len }) = self.inside.pop_front() else {
            return Err(Unreadable::damage(at.offset, "a block without records"));
        };
        self.next.entry = at.entry.saturating_add(record.entries());
        if self.inside.is_empty() {
            self.next = self.behind(self.block_bytes, self.next.entry)?;
            chunk.advance(self.block_bytes.min(chunk.len()));
        }
        Ok(Next::Record(at, len, record))
    }
}
