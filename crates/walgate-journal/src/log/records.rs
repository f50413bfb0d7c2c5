//! The records of one segment's file, read in chunks.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{Failure, Frame, Frames, Lsn, Position, StopReason};
use walgate_pgoutput::{Dialect, Message, decode};

use super::catalogue::Segment;
use super::files::segment_name;
use crate::segment::{
    Damage, DefinitionCache, End, Location, Locked, Newer, Next, RECORD_HEADER_BYTES, Record,
    SegmentHeader, SegmentIndex, SegmentReader, Start, Unreadable,
};
use crate::storage::{Storage, StoredFile, unusable};

/// What one read asks for: large enough for the throughput of any disk, small enough that a hundred
/// readers that lag take 100 MiB.
pub(super) const CHUNK_BYTES: usize = 1 << 20;

/// What a header is read with: all of it but for hundreds of settings.
const HEADER_BYTES: usize = 4 << 10;

/// What comes next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives from one call to the next, and most of them are records"
)]
pub(super) enum Walk {
    /// A record, and its length in the file.
    Record(Location, u32, Record),
    /// The records end here.
    End,
    /// These bytes are no record. They are zeros, a part of a record, or something else; whether
    /// that is damage or a torn tail depends on where they are.
    Bad(Damage),
}

/// Walks over the records of one segment.
#[derive(Debug)]
pub(super) struct Records {
    file: Arc<dyn StoredFile>,
    reader: SegmentReader,
    chunk: Bytes,
    pass_locked: bool,
}

/// Whether a segment's file is not there, though the folder is.
pub(super) fn is_deleted(storage: &dyn Storage, segment: u64) -> bool {
    let opened = storage.open(&segment_name(segment));
    opened.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && storage.list().is_ok()
}

/// A file of the log that can't be read: the disk's error.
pub(super) fn unreadable(storage: &dyn Storage, segment: u64, error: &io::Error) -> Failure {
    let path = storage.path().join(segment_name(segment));
    unusable(&path, "can't be read", error)
}

/// A file that a later version has written.
pub(super) fn newer(storage: &dyn Storage, segment: u64, newer: &Newer) -> Failure {
    let path = storage.path().join(segment_name(segment));
    let message = format!("{} was written by a later version: {newer}", path.display());
    Failure::new(StopReason::State, message)
        .hint("run the version that wrote it, or a later one; nothing was changed")
}

/// A file whose key is not there, which is neither damage nor a torn tail.
pub(super) fn locked(storage: &dyn Storage, segment: u64, locked: &Locked) -> Failure {
    let path = storage.path().join(segment_name(segment));
    let message = format!("{} can't be read: {locked}", path.display());
    let hint = match locked.altered {
        true => {
            "restore the file from a copy; whoever has changed it can write in the journal's folder"
        }
        false => {
            "add the key to [journal] encryption_key_file, or to what encryption_key_command \
             prints, before the newest; nothing was changed"
        }
    };
    Failure::new(StopReason::State, message).hint(hint)
}

/// Reads up to `want` bytes at `offset`, fewer at the end of the file.
pub(super) fn read(file: &dyn StoredFile, offset: u64, want: usize) -> io::Result<Bytes> {
    let mut buffer = vec![0; want];
    let got = file.read_at(&mut buffer, offset)?;
    buffer.truncate(got);
    Ok(Bytes::from(buffer))
}

/// The header of a segment, and where its records begin.
pub(super) type Opening = Result<(SegmentHeader, SegmentReader), Damage>;

/// Reads the header. `end`: where the file ends, or what of it is written.
pub(super) fn open_header(
    storage: &dyn Storage,
    file: &dyn StoredFile,
    segment: u64,
    end: u64,
) -> Result<Opening, Failure> {
    let mut want = HEADER_BYTES;
    loop {
        let bound = usize::try_from(end).unwrap_or(usize::MAX);
        let mut chunk =
            read(file, 0, want.min(bound)).map_err(|error| unreadable(storage, segment, &error))?;
        match SegmentReader::open_with(segment, &mut chunk, &storage.keys()) {
            Ok(Start::Segment(header, reader)) => return Ok(Ok((*header, reader))),
            Ok(Start::Incomplete(needed)) if needed > want && needed <= bound => want = needed,
            Ok(Start::Incomplete(_)) => {
                return Ok(Err(Damage {
                    offset: 0,
                    what: "a header that is cut off",
                }));
            }
            Err(Unreadable::Damage(damage)) => return Ok(Err(damage)),
            Err(Unreadable::Newer(found)) => return Err(newer(storage, segment, &found)),
            Err(Unreadable::Locked(found)) => return Err(locked(storage, segment, &found)),
        }
    }
}

/// A reader at a record of a segment, with what the header says of all records; where that is
/// damaged it is taken for what is known of the segment, and for not encrypted.
pub(super) fn resume(
    storage: &dyn Storage,
    file: &dyn StoredFile,
    segment: &Segment,
    at: Location,
) -> Result<SegmentReader, Failure> {
    let reader = SegmentReader::resume(segment.number, at);
    let end = segment.written.min(segment.data_end);
    Ok(match open_header(storage, file, segment.number, end)? {
        Ok((_, opened)) => reader
            .with_lock(opened.lock().clone())
            .known_packed_from(opened.packed_from()),
        Err(_) => reader.known_packed_from(segment.packed_from),
    })
}

impl Records {
    /// Goes on where `reader` is. The definitions before have to be in the cache that
    /// [`next`](Self::next) is given.
    pub(super) const fn new(file: Arc<dyn StoredFile>, reader: SegmentReader) -> Self {
        Self {
            file,
            reader,
            chunk: Bytes::new(),
            pass_locked: false,
        }
    }

    pub(super) const fn segment(&self) -> u64 {
        self.reader.segment()
    }

    /// Where the next record begins.
    pub(super) const fn location(&self) -> Location {
        self.reader.location()
    }

    /// The next record that begins before `end`.
    pub(super) fn next(
        &mut self,
        storage: &dyn Storage,
        end: u64,
        cache: &mut DefinitionCache,
    ) -> Result<Walk, Failure> {
        loop {
            let offset = self.reader.offset();
            if offset >= end {
                return Ok(Walk::End);
            }
            let bad = |what| Ok(Walk::Bad(Damage { offset, what }));
            match self.reader.next(&mut self.chunk, cache) {
                Ok(Next::Record(_, _, Record::Index(_)) | Next::End(End::Sealed)) => {
                    return Ok(Walk::End);
                }
                Ok(Next::Record(at, len, record)) => return Ok(Walk::Record(at, len, record)),
                Ok(Next::End(End::Zeros)) => return bad("zeros where a record should be"),
                Ok(Next::Incomplete(needed)) => {
                    if needed as u64 > end - offset {
                        return bad("a record that is cut off");
                    }
                    if !self.fill(storage, end, needed)? {
                        return bad("a file that is shorter than it was");
                    }
                }
                Err(Unreadable::Damage(damage)) => return Ok(Walk::Bad(damage)),
                Err(Unreadable::Newer(found)) => {
                    return Err(newer(storage, self.segment(), &found));
                }
                Err(Unreadable::Locked(found)) => {
                    return Err(locked(storage, self.segment(), &found));
                }
            }
        }
    }

    /// As [`SegmentReader::pass_locked`].
    pub(super) const fn pass_locked(&mut self) {
        self.pass_locked = true;
        self.reader.pass_locked();
    }

    /// As [`SegmentReader::keep_bodies`].
    pub(super) const fn keep_bodies(&mut self) {
        self.reader.keep_bodies();
    }

    /// As [`SegmentReader::body`].
    pub(super) fn body(&self) -> &[u8] {
        self.reader.body()
    }

    /// Whether it is over the file of a compressed segment.
    pub(super) const fn is_packed(&self) -> bool {
        self.reader.packed_from().is_some()
    }

    /// As [`SegmentReader::is_in_block`].
    pub(super) fn is_in_block(&self) -> bool {
        self.reader.is_in_block()
    }

    /// Reads a chunk of at least `needed` bytes from the next record on; false when the file has
    /// fewer.
    fn fill(&mut self, storage: &dyn Storage, end: u64, needed: usize) -> Result<bool, Failure> {
        let offset = self.reader.offset();
        let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
        self.chunk = Bytes::new();
        self.chunk = read(
            self.file.as_ref(),
            offset,
            CHUNK_BYTES.max(needed).min(left),
        )
        .map_err(|error| unreadable(storage, self.segment(), &error))?;
        Ok(self.chunk.len() >= needed)
    }

    /// Goes to another record of the segment.
    pub(super) fn go_to(&mut self, at: Location) {
        let lock = self.reader.lock().clone();
        self.reader = SegmentReader::resume(self.segment(), at)
            .with_lock(lock)
            .known_packed_from(self.reader.packed_from());
        if self.pass_locked {
            self.reader.pass_locked();
        }
        self.chunk = Bytes::new();
    }

    /// Loads the definitions that lie before `offset`. One that can't be read is left out: the runs
    /// that need it can't be read either, and say so.
    pub(super) fn load_definitions(
        &self,
        storage: &dyn Storage,
        index: &SegmentIndex,
        offset: u64,
        cache: &mut DefinitionCache,
    ) -> Result<(), Failure> {
        for definition in index.definitions_before(offset) {
            if cache.get(self.segment(), definition.number).is_some() {
                continue;
            }
            let bytes = read(
                self.file.as_ref(),
                definition.offset,
                definition.len as usize,
            )
            .map_err(|error| unreadable(storage, self.segment(), &error))?;
            match definition.load_with(self.segment(), self.reader.lock(), &bytes, cache) {
                Ok(()) | Err(Unreadable::Damage(_)) => {}
                Err(Unreadable::Locked(_)) if self.pass_locked => {}
                Err(Unreadable::Locked(found)) => {
                    return Err(locked(storage, self.segment(), &found));
                }
                Err(Unreadable::Newer(found)) => {
                    return Err(newer(storage, self.segment(), &found));
                }
            }
        }
        Ok(())
    }

    /// Behind bad bytes: goes to the next record that can be read, and is sound itself. Behind a
    /// record whose length is sound that is the next one; else the next point of the index. False
    /// when there is none before `end`.
    pub(super) fn skip_bad(
        &mut self,
        storage: &dyn Storage,
        end: u64,
        index: Option<&SegmentIndex>,
        cache: &mut DefinitionCache,
    ) -> Result<bool, Failure> {
        let bad = self.location();
        if let Some(next) = self.behind_one(storage, end, cache)? {
            self.go_to(next);
            return Ok(true);
        }
        let mut behind = bad.offset.saturating_add(1);
        while let Some(point) = index.and_then(|index| index.point_at_or_behind(behind)) {
            if point.offset >= end {
                break;
            }
            if let Some(index) = index {
                self.load_definitions(storage, index, point.offset, cache)?;
            }
            if self.is_sound(storage, end, point.location(), cache)? {
                self.go_to(point.location());
                return Ok(true);
            }
            behind = point.offset + 1;
        }
        self.go_to(bad);
        Ok(false)
    }

    /// The record behind the bad one, if the bad one's length leads to a sound record.
    fn behind_one(
        &mut self,
        storage: &dyn Storage,
        end: u64,
        cache: &mut DefinitionCache,
    ) -> Result<Option<Location>, Failure> {
        let bad = self.location();
        let head = read(self.file.as_ref(), bad.offset, RECORD_HEADER_BYTES)
            .map_err(|error| unreadable(storage, self.segment(), &error))?;
        let Some((len, _)) = head.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u64::from(u32::from_le_bytes(*len));
        let offset = bad.offset + RECORD_HEADER_BYTES as u64 + len;
        if len == 0 || offset >= end {
            return Ok(None);
        }
        // Whether the bad record was an entry is not known; an entry's number has to fit.
        for entry in [bad.entry + 1, bad.entry] {
            let next = Location {
                offset,
                ordinal: bad.ordinal.saturating_add(1),
                entry,
            };
            if self.leads_to_entry(storage, end, next, cache)? {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// Whether the records from there on are sound up to and including the first entry.
    fn leads_to_entry(
        &mut self,
        storage: &dyn Storage,
        end: u64,
        at: Location,
        cache: &mut DefinitionCache,
    ) -> Result<bool, Failure> {
        self.go_to(at);
        loop {
            match self.next(storage, end, cache)? {
                Walk::Record(_, _, Record::Run(_) | Record::Gap { .. } | Record::Reference(_)) => {
                    return Ok(true);
                }
                Walk::Record(..) => {}
                Walk::End => return Ok(true),
                Walk::Bad(_) => return Ok(false),
            }
        }
    }

    fn is_sound(
        &mut self,
        storage: &dyn Storage,
        end: u64,
        at: Location,
        cache: &mut DefinitionCache,
    ) -> Result<bool, Failure> {
        self.go_to(at);
        Ok(matches!(self.next(storage, end, cache)?, Walk::Record(..)))
    }

    /// A position at or above everything that can lie before the next record, and below what comes
    /// from there on: read off the next entry. None when no entry follows before `end`. Stays where
    /// it is.
    pub(super) fn before_next(
        &mut self,
        storage: &dyn Storage,
        end: u64,
        cache: &mut DefinitionCache,
    ) -> Result<Option<Position>, Failure> {
        let here = self.location();
        let before = loop {
            match self.next(storage, end, cache)? {
                Walk::Record(_, _, Record::Run(run)) => break before_run(&run.frames),
                Walk::Record(_, _, Record::Reference(reference)) => {
                    break Some(below(reference.adoption.first()));
                }
                Walk::Record(_, _, Record::Gap { epoch, gap, .. }) => {
                    break Some(Position::new(epoch, gap.from, 0));
                }
                Walk::Record(_, _, Record::Progress { epoch, lsn }) => {
                    break Some(Position::new(epoch, lsn, 0));
                }
                Walk::Record(..) => {}
                Walk::End | Walk::Bad(_) => break None,
            }
        };
        self.go_to(here);
        Ok(before)
    }
}

/// Everything before the run lies at or below this position: a part of the transaction that is open
/// at its start, or something below its first frame.
fn before_run(frames: &Frames) -> Option<Position> {
    let first = first_of(frames)?;
    if frames.open.is_some() {
        let index = first.index().saturating_sub(1).max(Position::BEGIN);
        return Some(Position::new(frames.epoch, first.lsn(), index));
    }
    Some(below(first))
}

/// Everything that commits before a transaction that begins at `first`.
fn below(first: Position) -> Position {
    let lsn = Lsn(first.lsn().0.saturating_sub(1));
    Position::new(first.epoch(), lsn, 0)
}

/// Position of the first frame.
pub(super) fn first_of(frames: &Frames) -> Option<Position> {
    let first = frames.frames.first()?;
    let lsn = match (&frames.open, frames.begun(first)) {
        (Some(open), _) => open.commit_lsn,
        (None, Some(begun)) => begun.commit_lsn,
        (None, None) => standalone_lsn(frames, first)?,
    };
    Some(Position::new(frames.epoch, lsn, first.index))
}

fn standalone_lsn(frames: &Frames, frame: &Frame) -> Option<Lsn> {
    match decode(frames.message(frame), Dialect::default(), false) {
        Ok(Message::Message { lsn, .. }) => Some(lsn),
        _ => None,
    }
}
