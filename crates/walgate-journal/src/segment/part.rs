//! A part of a spool as a record: frames of a transaction that runs, without positions of the log.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{Frame, FrameKind, Frames, StreamedFrame, StreamedFrames};

use super::error::Unreadable;
use super::fields::{Fields, put_count};
use super::reference::Adoption;
use super::run::{put_table, table};
use super::survey::Survey;

/// Places of relations and of truncated tables in a part are 16 bits wide.
const MAX_PLACES: usize = u16::MAX as usize;

/// Frames of a transaction that runs, in memory: what becomes one record of its spool.
#[derive(Debug, Default)]
pub struct Part {
    /// How many frames of the transaction lie before it.
    first_frame: u64,
    /// The messages, one directly behind the other.
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    /// Definitions, by their numbers in the transaction.
    relations: Vec<u32>,
    places: HashMap<u32, u16>,
    /// Tables of truncates, as places in `relations`.
    truncated: Vec<u16>,
}

impl Part {
    /// An empty one, behind so many frames of the transaction.
    pub fn behind(first_frame: u64) -> Self {
        Self {
            first_frame,
            ..Self::default()
        }
    }

    /// How many frames of the transaction lie before it.
    pub const fn first_frame(&self) -> u64 {
        self.first_frame
    }

    /// How many frames it holds.
    pub fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The index in the transaction of the frame at this place.
    pub fn index_of(&self, frame: u64) -> Option<u32> {
        let place = usize::try_from(frame).ok()?;
        self.frames.get(place).map(|frame| frame.index)
    }

    /// Memory that it takes, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.frames.capacity() * size_of::<Frame>()
            + self.relations.len() * 16
            + self.truncated.len() * 2
    }

    /// Bytes of its messages.
    pub fn message_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether this frame's definitions have their places in it.
    pub fn takes(&self, tables: usize) -> bool {
        self.relations.len() + tables.max(1) < MAX_PLACES
            && self.truncated.len() + tables < MAX_PLACES
    }

    /// Appends a frame of `from`, whose index in the transaction is `index`.
    pub fn push(&mut self, from: &StreamedFrames, frame: &StreamedFrame, index: u32) {
        let relation = match frame.kind {
            FrameKind::Insert | FrameKind::Update | FrameKind::Delete => self.place(frame.relation),
            FrameKind::Truncate => {
                let first = u16::try_from(self.truncated.len()).unwrap_or(u16::MAX);
                for table in from.tables_of(frame) {
                    let place = self.place(*table);
                    self.truncated.push(place);
                }
                first
            }
            _ => 0,
        };
        let message = from.message(frame);
        self.frames.push(Frame {
            kind: frame.kind,
            relation,
            index,
            start: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            len: frame.len,
        });
        self.bytes.extend_from_slice(message);
    }

    fn place(&mut self, relation: u32) -> u16 {
        let next = u16::try_from(self.relations.len()).unwrap_or(u16::MAX);
        let place = *self.places.entry(relation).or_insert(next);
        if place == next {
            self.relations.push(relation);
        }
        place
    }

    /// Leaves the first `frames` of its frames.
    pub fn truncate(&mut self, frames: u64) {
        let frames = usize::try_from(frames).unwrap_or(usize::MAX);
        let end = self.frames.get(frames).map(|frame| frame.start as usize);
        self.bytes.truncate(end.unwrap_or(self.bytes.len()));
        self.frames.truncate(frames);
        // Places that nothing names any more stay: they are few, and harmless.
    }

    /// As frames of the log, now that the transaction has committed; with its Begin when
    /// `begins`, and with its Commit when `ends`. None when it is not sound.
    pub fn committed(&self, adoption: &Adoption, begins: bool, ends: bool) -> Option<Frames> {
        let mut frames = Vec::with_capacity(self.frames.len() + 2);
        let mut bytes = Vec::with_capacity(self.bytes.len() + 64);
        if begins {
            let [begin] = adoption.begin().frames.try_into().ok()?;
            frames.push(begin);
            bytes.extend_from_slice(&adoption.transaction.begin_message());
        }
        let shift = u32::try_from(bytes.len()).ok()?;
        bytes.extend_from_slice(&self.bytes);
        let shifted = self.frames.iter().map(|frame| Frame {
            start: frame.start.saturating_add(shift),
            ..*frame
        });
        frames.extend(shifted);
        if ends {
            let [commit] = adoption.commit().frames.try_into().ok()?;
            let start = u32::try_from(bytes.len()).ok()?;
            frames.push(Frame { start, ..commit });
            bytes.extend_from_slice(&adoption.transaction.commit_message(adoption.end_lsn));
        }
        let pinned = bytes.capacity();
        Some(Frames {
            bytes: Bytes::from(bytes),
            frames,
            relations: adoption.resolve(&self.relations)?,
            truncated: self.truncated.clone(),
            open: (!begins).then_some(adoption.transaction),
            epoch: adoption.epoch,
            progress: None,
            pinned,
        })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first_frame.to_le_bytes());
        put_count(out, self.relations.len());
        for relation in &self.relations {
            out.extend_from_slice(&relation.to_le_bytes());
        }
        put_count(out, self.truncated.len());
        for place in &self.truncated {
            out.extend_from_slice(&place.to_le_bytes());
        }
        put_count(out, self.frames.len());
        put_table(out, &self.frames);
        out.extend_from_slice(&self.bytes);
    }
}

/// A part as it was read. Its bytes are a slice of what was read.
#[derive(Debug, Clone)]
pub struct StoredPart {
    first_frame: u64,
    relations: Vec<u32>,
    truncated: Vec<u16>,
    frames: Vec<Frame>,
    bytes: Bytes,
    /// Where its body begins in the file.
    offset: u64,
    pinned: usize,
}

impl StoredPart {
    pub(super) fn decode(
        mut fields: Fields<'_>,
        body: &Bytes,
        pinned: usize,
        offset: u64,
    ) -> Result<Self, Unreadable> {
        let first_frame = fields.u64("a part without the number of its first frame")?;
        let count = fields.count("a part with too many relations", 4)?;
        let mut relations = Vec::with_capacity(count);
        for _ in 0..count {
            relations.push(fields.u32("a part without its relations")?);
        }
        let count = fields.count("a part with too many truncated tables", 2)?;
        let mut truncated = Vec::with_capacity(count);
        for _ in 0..count {
            truncated.push(fields.u16("a part without truncated tables")?);
        }
        let frames = table(&mut fields)?;
        let bytes = body.slice(body.len().saturating_sub(fields.left())..);
        let end = frames
            .last()
            .map_or(0, |last| u64::from(last.start) + u64::from(last.len));
        if end != bytes.len() as u64 {
            return Err(fields.damage("a part whose frames do not fill it"));
        }
        Ok(Self {
            first_frame,
            relations,
            truncated,
            frames,
            bytes,
            offset,
            pinned,
        })
    }

    /// How many frames of the transaction lie before it.
    pub const fn first_frame(&self) -> u64 {
        self.first_frame
    }

    /// How many frames it holds.
    pub fn frames(&self) -> u64 {
        self.frames.len() as u64
    }

    /// In memory again, to go on behind its first frames.
    pub fn reopen(&self) -> Part {
        let numbered = self.relations.iter().zip(0u16..);
        Part {
            first_frame: self.first_frame,
            bytes: self.bytes.to_vec(),
            frames: self.frames.clone(),
            relations: self.relations.clone(),
            places: numbered.map(|(number, place)| (*number, place)).collect(),
            truncated: self.truncated.clone(),
        }
    }

    /// As frames of the log, in the middle of their transaction; they keep the invariants of
    /// [`Frames`] whatever the bytes were.
    ///
    /// # Errors
    /// When it is not a part of this transaction.
    pub fn adopted(self, adoption: &Adoption) -> Result<Frames, Unreadable> {
        let relations = adoption.resolve(&self.relations).ok_or_else(|| {
            Unreadable::damage(
                self.offset,
                "a part of a relation that its reference does not define",
            )
        })?;
        let frames = Frames {
            bytes: self.bytes,
            frames: self.frames,
            relations,
            truncated: self.truncated,
            open: Some(adoption.transaction),
            epoch: adoption.epoch,
            progress: None,
            pinned: self.pinned,
        };
        let is_change = |frame: &Frame| {
            !matches!(
                frame.kind,
                FrameKind::Begin | FrameKind::Commit | FrameKind::Standalone
            )
        };
        if !frames.frames.iter().all(is_change) {
            return Err(Unreadable::damage(
                self.offset,
                "a part with more than changes",
            ));
        }
        Survey::of(&frames).map_err(|what| Unreadable::damage(self.offset, what))?;
        Ok(frames)
    }
}

impl Adoption {
    /// The definitions of these numbers of the transaction.
    fn resolve(&self, numbers: &[u32]) -> Option<Vec<Arc<walgate_core::Relation>>> {
        let relation = |number: &u32| self.relations.get(*number as usize).cloned();
        numbers.iter().map(relation).collect()
    }
}
