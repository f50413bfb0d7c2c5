//! The spool of one transaction that runs.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use walgate_core::{Frames, Position, StreamedFrames, Xid};

use super::records;
use super::spools::{OPEN_SUFFIX, remove};
use crate::segment::{
    Adoption, EncodeError, Part, RECORD_HEADER_BYTES, SpoolPart, SpoolWriter, read_part,
};
use crate::storage::{Storage, StoredFile};

/// A part has about this many bytes of messages, so that a read of the log brings one: memory of
/// readers is bounded by it, and by the largest row.
const PART_BYTES: usize = 512 << 10;
/// And at most this many frames, whose table is read with it.
const PART_FRAMES: u64 = 32 << 10;

/// The spool of one transaction.
#[derive(Debug)]
pub(super) struct Spool {
    xid: Xid,
    number: u64,
    /// What is not written; the last is added to.
    memory: Vec<Part>,
    memory_bytes: usize,
    file: Option<OnDisk>,
    frames: u64,
    next_index: u32,
}

#[derive(Debug)]
struct OnDisk {
    file: Arc<dyn StoredFile>,
    writer: SpoolWriter,
    /// Each with its frames, counted over the transaction.
    parts: Vec<(SpoolPart, Range<u64>)>,
    end: u64,
}

impl Spool {
    pub(super) const fn new(xid: Xid, number: u64) -> Self {
        Self {
            xid,
            number,
            memory: Vec::new(),
            memory_bytes: 0,
            file: None,
            frames: 0,
            next_index: Position::BEGIN + 1,
        }
    }

    pub(super) const fn xid(&self) -> Xid {
        self.xid
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn frames(&self) -> u64 {
        self.frames
    }

    /// The index that the next frame gets.
    pub(super) const fn next_index(&self) -> u32 {
        self.next_index
    }

    pub(super) const fn memory(&self) -> usize {
        self.memory_bytes
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.end)
    }

    pub(super) const fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    pub(super) fn name(&self) -> String {
        format!("{:016x}{OPEN_SUFFIX}", self.number)
    }

    pub(super) fn places(&self) -> Vec<SpoolPart> {
        let parts = self.file.iter().flat_map(|file| &file.parts);
        parts.map(|(part, _)| *part).collect()
    }

    /// Appends frames. Fails when the transaction has more changes than positions can count.
    pub(super) fn push(&mut self, frames: &StreamedFrames) -> Result<(), &'static str> {
        for frame in &frames.frames {
            let indices = frames.indices_of(frame);
            let next = self.next_index.checked_add(indices);
            let next = next.filter(|next| *next < Position::COMMIT);
            let next = next.ok_or("it has more changes than can be numbered")?;
            let tables = frames.tables_of(frame).len();
            let is_full = self.memory.last().is_none_or(|part| {
                part.message_bytes() >= PART_BYTES
                    || part.frames() >= PART_FRAMES
                    || !part.takes(tables)
            });
            if is_full {
                self.memory.push(Part::behind(self.frames));
            }
            if let Some(part) = self.memory.last_mut() {
                part.push(frames, frame, self.next_index);
            }
            self.frames += 1;
            self.next_index = next;
        }
        self.weigh();
        Ok(())
    }

    fn weigh(&mut self) {
        self.memory_bytes = self.memory.iter().map(Part::memory).sum();
    }

    /// Writes what is in memory. What fails is tried again by the next call.
    pub(super) fn write(&mut self, storage: &dyn Storage) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.create(storage)?);
        }
        let Some(disk) = &mut self.file else {
            return Ok(());
        };
        let mut written = 0;
        let result = self.memory.iter().try_for_each(|part| {
            disk.append(part)?;
            written += 1;
            Ok(())
        });
        self.memory.drain(..written);
        self.weigh();
        result
    }

    fn create(&self, storage: &dyn Storage) -> io::Result<OnDisk> {
        let name = self.name();
        let mut header = Vec::new();
        let writer = SpoolWriter::begin(self.number, self.xid, &storage.keys(), &mut header)
            .map_err(refused)?;
        let file = storage.create(&name)?;
        if let Err(error) = file.write_at(&header, 0) {
            remove(storage, &name);
            return Err(error);
        }
        Ok(OnDisk {
            file,
            writer,
            parts: Vec::new(),
            end: header.len() as u64,
        })
    }

    /// Leaves the first `keep` frames. Whether it had so many.
    pub(super) fn cut(&mut self, keep: u64) -> io::Result<bool> {
        if keep > self.frames {
            return Ok(false);
        }
        if keep == self.frames {
            return Ok(true);
        }
        let mut first = None;
        while let Some(part) = self.memory.last_mut()
            && part.first_frame() + part.frames() > keep
        {
            if part.first_frame() >= keep {
                first = part.index_of(0);
                self.memory.pop();
                continue;
            }
            let left = keep - part.first_frame();
            first = part.index_of(left);
            part.truncate(left);
            break;
        }
        if self.memory.is_empty()
            && let Some(disk) = &mut self.file
        {
            let (index, rest) = disk.cut(keep, first)?;
            first = index;
            self.memory.extend(rest);
        }
        self.frames = keep;
        self.next_index = first.unwrap_or(Position::BEGIN + 1);
        self.weigh();
        Ok(true)
    }

    /// Makes the file's bytes durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |disk| {
            // What was cut off and not written over.
            disk.file.truncate(disk.end)?;
            disk.file.sync_data()
        })
    }

    /// The transaction as ordinary runs; none when it is not sound.
    pub(super) fn runs(&self, adoption: &Adoption) -> Option<Vec<Frames>> {
        let last = self.memory.len().checked_sub(1)?;
        let parts = self.memory.iter().enumerate();
        parts
            .map(|(place, part)| part.committed(adoption, place == 0, place == last))
            .collect()
    }

    pub(super) fn remove(self, storage: &dyn Storage) {
        if self.file.is_some() {
            remove(storage, &self.name());
        }
    }
}

impl OnDisk {
    fn append(&mut self, part: &Part) -> io::Result<()> {
        let mut out = Vec::with_capacity(part.message_bytes() + 2 * RECORD_HEADER_BYTES);
        let place = self
            .writer
            .part(part, self.end, &mut out)
            .map_err(refused)?;
        self.file.write_at(&out, self.end)?;
        self.end += out.len() as u64;
        let first = part.first_frame();
        self.parts.push((place, first..first + part.frames()));
        Ok(())
    }

    /// Leaves the first `keep` frames of the transaction: parts behind them go, and what is left of
    /// one that is cut in its middle comes back into memory. `first`: the index of the first frame
    /// behind what is on disk, if something behind it was cut. Returns the index of the first frame
    /// that is cut.
    fn cut(&mut self, keep: u64, first: Option<u32>) -> io::Result<(Option<u32>, Option<Part>)> {
        let mut first = first;
        while let Some((part, frames)) = self.parts.last().cloned() {
            if frames.end <= keep {
                break;
            }
            if frames.start >= keep {
                self.forget_last(part.offset)?;
                first = Some(part.first_index);
                continue;
            }
            let bytes = records::read(self.file.as_ref(), part.offset, part.len as usize)?;
            let stored = read_part(self.writer.number(), self.writer.lock(), &part, &bytes)
                .map_err(|error| io::Error::other(error.to_string()))?;
            let mut rest = stored.reopen();
            first = rest.index_of(keep - frames.start);
            rest.truncate(keep - frames.start);
            self.forget_last(part.offset)?;
            return Ok((first, Some(rest)));
        }
        Ok((first, None))
    }

    /// The last part is cut off. Its space comes back at once: only what is left counts for the
    /// budget.
    fn forget_last(&mut self, end: u64) -> io::Result<()> {
        self.file.truncate(end)?;
        self.end = end;
        self.parts.pop();
        Ok(())
    }
}

fn refused(error: EncodeError) -> io::Error {
    io::Error::other(error.to_string())
}
