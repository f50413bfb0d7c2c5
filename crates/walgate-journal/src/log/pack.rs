//! Compressing a sealed segment: written anew beside itself, and put in its own place.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use walgate_core::{Failure, StopReason};

use super::catalogue::{Segment, SegmentState};
use super::files::{LogFiles, segment_name};
use super::records::{self, Records, Walk};
use super::repair::COPY;
use super::view::LogView;
use crate::segment::{DefinitionCache, EncodeError, SegmentIndex, SegmentPacker};
use crate::storage::{Storage, StoredFile, unusable};

/// What is written and synced at once: a sync of the log that comes between waits for no more.
const WRITE_BYTES: usize = 1 << 20;

/// A segment that was written anew and is durable beside itself; it is put in its place by
/// [`LogFiles::replace`].
#[derive(Debug)]
pub struct PackedSegment {
    pub(super) number: u64,
    /// Its length before.
    pub(super) packed_from: u64,
    pub(super) bytes: u64,
    pub(super) data_end: u64,
    pub(super) index: Arc<SegmentIndex>,
}

impl PackedSegment {
    /// The segment's number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Its length before, in bytes.
    pub const fn packed_from(&self) -> u64 {
        self.packed_from
    }

    /// Its length now, in bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Segment {
    /// Whether it can be compressed: it is sealed, durable, and was not.
    pub fn can_be_packed(&self) -> bool {
        self.state == SegmentState::Sealed
            && self.synced >= self.bytes
            && self.packed_from.is_none()
            && self.spool_bytes == 0
    }
}

impl LogView {
    /// Removes what was written anew, and is not to be put in its place.
    pub fn discard(&self, packed: &PackedSegment) {
        remove_copy(self.storage().as_ref(), packed.number);
    }

    /// Writes a sealed segment anew beside itself, compressed, and encrypted with a new key where it
    /// is encrypted, and makes that durable. Blocks for as long as the disk takes; `stop` ends it
    /// early. None when that is not possible, or saves nothing: the segment stays as it is.
    ///
    /// # Errors
    ///
    /// When it can't be read or written. Nothing has changed then.
    pub fn pack(
        &self,
        number: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<PackedSegment>, Failure> {
        let storage = Arc::clone(self.storage());
        let Some(segment) = self.catalogue().lock().get(number).cloned() else {
            return Ok(None);
        };
        if !segment.can_be_packed() {
            return Ok(None);
        }
        let Some(index) = self.index(&segment)? else {
            return Ok(None);
        };
        let packed = Packing {
            storage: storage.as_ref(),
            segment: &segment,
            stop,
        }
        .run(&index);
        if !matches!(packed, Ok(Some(_))) {
            remove_copy(storage.as_ref(), number);
        }
        packed
    }
}

/// A segment that is being written anew.
struct Packing<'a> {
    storage: &'a dyn Storage,
    segment: &'a Segment,
    stop: &'a dyn Fn() -> bool,
}

impl Packing<'_> {
    fn run(&self, index: &SegmentIndex) -> Result<Option<PackedSegment>, Failure> {
        let Segment {
            number,
            bytes,
            data_end,
            ..
        } = *self.segment;
        let unreadable = |error| records::unreadable(self.storage, number, &error);
        let old = self
            .storage
            .open(&segment_name(number))
            .map_err(unreadable)?;
        let opened = records::open_header(self.storage, old.as_ref(), number, data_end)?;
        let keys = self.storage.keys();
        let Ok((header, reader)) = opened else {
            return Ok(None);
        };
        if reader.lock().key_id().is_some() && !keys.encrypts() {
            // What was encrypted stays so.
            return Ok(None);
        }
        let mut out = Vec::new();
        let mut packer = SegmentPacker::begin(&header, bytes, &keys, &mut out)
            .map_err(|error| refused(number, &error))?;
        let mut copy = Copy::begin(self.storage, number)?;
        let mut records = Records::new(old, reader);
        records.keep_bodies();
        let mut cache = DefinitionCache::new();
        loop {
            let record = match records.next(self.storage, data_end, &mut cache)? {
                Walk::Record(_, _, record) => record,
                Walk::End => break,
                // A reader will say so.
                Walk::Bad(_) => return Ok(None),
            };
            let taken = packer.take(record, records.body(), &mut out);
            if !taken.map_err(|error| refused(number, &error))? || (self.stop)() {
                return Ok(None);
            }
            copy.write(&mut out, WRITE_BYTES)?;
        }
        let (new, data_end, len) = packer
            .seal(&mut out)
            .map_err(|error| refused(number, &error))?;
        copy.write(&mut out, 0)?;
        if !says_the_same(index, &new) {
            let message = format!(
                "segment {number} says something else when it is compressed: this is a bug"
            );
            return Err(Failure::new(StopReason::State, message));
        }
        Ok((len < bytes).then(|| PackedSegment {
            number,
            packed_from: bytes,
            bytes: len,
            data_end,
            index: Arc::new(new),
        }))
    }
}

/// The file beside the segment.
struct Copy<'a> {
    storage: &'a dyn Storage,
    name: String,
    file: Arc<dyn StoredFile>,
    written: u64,
}

impl<'a> Copy<'a> {
    fn begin(storage: &'a dyn Storage, number: u64) -> Result<Self, Failure> {
        remove_copy(storage, number);
        let name = copy_name(number);
        let file = storage
            .create(&name)
            .map_err(|error| unusable(&storage.path().join(&name), "can't be made", &error))?;
        Ok(Self {
            storage,
            name,
            file,
            written: 0,
        })
    }

    /// Writes and syncs what is longer than `least`.
    fn write(&mut self, out: &mut Vec<u8>, least: usize) -> Result<(), Failure> {
        if out.len() <= least {
            return Ok(());
        }
        let write = || {
            self.file.write_at(out, self.written)?;
            self.file.sync_data()
        };
        write().map_err(|error| {
            let path = self.storage.path().join(&self.name);
            unusable(&path, "can't be written", &error)
        })?;
        self.written += out.len() as u64;
        out.clear();
        Ok(())
    }
}

impl LogFiles {
    /// Puts a compressed segment in the place of what it was made from. Readers that have the old
    /// file open find out. Whether that was done: the segment may have been deleted meanwhile, or
    /// the disk does not take it, and then it stays as it is.
    pub fn replace(&mut self, view: &LogView, packed: PackedSegment) -> io::Result<bool> {
        let storage = view.storage();
        let number = packed.number;
        let is_there = {
            let segments = view.catalogue().lock();
            segments.get(number).is_some_and(Segment::can_be_packed)
        };
        if !is_there {
            remove_copy(storage.as_ref(), number);
            return Ok(false);
        }
        if let Err(error) = storage.rename(&copy_name(number), &segment_name(number)) {
            remove_copy(storage.as_ref(), number);
            return Err(error);
        }
        self.note_renamed(number);
        view.note_packed(packed);
        Ok(true)
    }
}

fn copy_name(number: u64) -> String {
    format!("{}{COPY}", segment_name(number))
}

/// Best effort: the next start removes what is left.
fn remove_copy(storage: &dyn Storage, number: u64) {
    let name = copy_name(number);
    match storage.remove(&name) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::debug!(name, %error, "a copy can't be deleted");
        }
        _ => {}
    }
}

/// Whether two indexes say the same, but for where it lies.
fn says_the_same(old: &SegmentIndex, new: &SegmentIndex) -> bool {
    let said = |index: &SegmentIndex| SegmentIndex {
        points: Vec::new(),
        definitions: Vec::new(),
        ..index.clone()
    };
    said(old) == said(new) && old.definitions.len() == new.definitions.len()
}

fn refused(number: u64, error: &EncodeError) -> Failure {
    let message = format!("segment {number} can't be compressed: {error}");
    Failure::new(StopReason::State, message)
}
