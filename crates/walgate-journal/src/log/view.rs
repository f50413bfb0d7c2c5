//! What readers share: storage, catalogue, indexes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walgate_core::{Failure, PgMicros, Position};

use super::catalogue::{Catalogue, Segment, SegmentState};
use super::files::segment_name;
use super::found;
use super::pack::PackedSegment;
use super::reader::LogReader;
use super::records;
use crate::segment::{SegmentIndex, SegmentWriter};
use crate::storage::Storage;

/// Indexes of sealed segments that are kept: about 10 KiB each, for as many readers that seek at
/// once in different places.
const KEPT_INDEXES: usize = 16;

/// The side that reads. Cheap to clone: all clones are views of the same log. What blocks says so.
#[derive(Debug, Clone)]
pub struct LogView(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    catalogue: Catalogue,
    indexes: Mutex<Indexes>,
    /// Whether the folder is another's, who deletes without telling.
    offline: bool,
}

#[derive(Debug, Default)]
struct Indexes {
    /// Of the active segment, as far as it is appended.
    active: Option<(u64, SegmentIndex)>,
    /// Of sealed segments, those used last at the end.
    sealed: VecDeque<(u64, Arc<SegmentIndex>)>,
}

impl Indexes {
    fn keep(&mut self, number: u64, index: Arc<SegmentIndex>) {
        self.sealed.retain(|(other, _)| *other != number);
        if self.sealed.len() >= KEPT_INDEXES {
            self.sealed.pop_front();
        }
        self.sealed.push_back((number, index));
    }
}

impl LogView {
    pub(super) fn new(storage: Arc<dyn Storage>, catalogue: Catalogue) -> Self {
        Self(Arc::new(Shared {
            storage,
            catalogue,
            indexes: Mutex::default(),
            offline: false,
        }))
    }

    /// Of a folder that is another's.
    pub(super) fn of_another(storage: Arc<dyn Storage>, catalogue: Catalogue) -> Self {
        Self(Arc::new(Shared {
            storage,
            catalogue,
            indexes: Mutex::default(),
            offline: true,
        }))
    }

    /// Whether a segment that was there is deleted: with all before it, since the oldest goes first.
    pub(super) fn is_deleted(&self, number: u64) -> bool {
        let gone = self.0.offline && records::is_deleted(self.storage().as_ref(), number);
        let mut segments = self.catalogue().lock();
        if gone {
            segments.remove_up_to(number);
        }
        segments.get(number).is_none()
    }

    /// The segments.
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// Where they lie.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.0.storage
    }

    /// A reader whose first entry is number `entry`. No I/O before its first read.
    pub fn reader_at(&self, entry: u64) -> LogReader {
        LogReader::at(self.clone(), entry)
    }

    /// A reader whose first entry is the first that holds anything behind `position`. No I/O before
    /// its first read.
    pub fn reader_behind(&self, position: Position) -> LogReader {
        LogReader::behind(self.clone(), position)
    }

    fn indexes(&self) -> MutexGuard<'_, Indexes> {
        // Nothing panics while the lock is held.
        self.0
            .indexes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a segment as far as it is written; none when it has none, or it can't be read.
    /// Blocks when it was not read lately.
    pub(super) fn index(&self, segment: &Segment) -> Result<Option<Arc<SegmentIndex>>, Failure> {
        {
            let mut indexes = self.indexes();
            if let Some((number, index)) = &indexes.active
                && *number == segment.number
            {
                return Ok(Some(Arc::new(written_part(index, segment.written))));
            }
            let kept = indexes
                .sealed
                .iter()
                .find(|(number, _)| *number == segment.number);
            if let Some(index) = kept.map(|(_, index)| Arc::clone(index)) {
                indexes.keep(segment.number, Arc::clone(&index));
                let part = match segment.written < segment.bytes {
                    true => Arc::new(written_part(&index, segment.written)),
                    false => index,
                };
                return Ok(Some(part));
            }
        }
        if segment.state != SegmentState::Sealed || segment.written < segment.bytes {
            return Ok(None);
        }
        let storage = self.storage().as_ref();
        let file = match storage.open(&segment_name(segment.number)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(records::unreadable(storage, segment.number, &error)),
        };
        let index = found::read_index(
            storage,
            file.as_ref(),
            segment.number,
            segment.data_end,
            segment.bytes,
        )?;
        let Some(index) = index.map(Arc::new) else {
            return Ok(None);
        };
        let mut segments = self.catalogue().lock();
        if let Some(known) = segments.get_mut(segment.number)
            && known.packed_from == segment.packed_from
        {
            known.commit_times = times(&index);
            self.indexes().keep(segment.number, Arc::clone(&index));
        }
        drop(segments);
        Ok(Some(index))
    }

    /// A compressed segment has taken the place of the one that was known.
    pub(super) fn note_packed(&self, packed: PackedSegment) {
        let mut segments = self.catalogue().lock();
        if let Some(known) = segments.get_mut(packed.number) {
            known.packed_from = Some(packed.packed_from);
            known.bytes = packed.bytes;
            known.written = packed.bytes;
            known.synced = packed.bytes;
            known.data_end = packed.data_end;
            // Under the lock, so that nobody finds the one without the other.
            self.indexes().keep(packed.number, packed.index);
        }
    }

    /// The file of a segment is another than was known: whoever owns the folder has compressed it
    /// meanwhile. Blocks.
    pub(super) fn look_again(&self, number: u64) -> Result<(), Failure> {
        let storage = self.storage().as_ref();
        let Some(found) = found::find(storage, number)? else {
            return Ok(());
        };
        let Some(packed_from) = found.packed_from() else {
            return Ok(());
        };
        let index = found.index(storage)?;
        if let (Some(index), Some(data_end)) = (index, found.index_offset) {
            self.note_packed(PackedSegment {
                number,
                packed_from,
                bytes: found.len,
                data_end,
                index: Arc::new(index),
            });
            return Ok(());
        }
        let mut segments = self.catalogue().lock();
        if let Some(known) = segments.get_mut(number) {
            // Its end is damaged: it is read without an index.
            known.packed_from = Some(packed_from);
            known.bytes = found.len;
            known.written = found.len;
            known.synced = found.len;
            known.data_end = found.len;
            known.state = SegmentState::Open;
        }
        Ok(())
    }

    pub(super) fn begin_segment(&self, segment: Segment, index: SegmentIndex) {
        let number = segment.number;
        {
            let mut segments = self.catalogue().lock();
            if let Some(last) = segments.list.back_mut() {
                last.closed.get_or_insert(segment.created);
            }
            segments.push(segment);
        }
        self.indexes().active = Some((number, index));
    }

    pub(super) fn note_appended(&self, writer: &SegmentWriter, whole: Position) {
        let now = writer.index();
        if let Some(segment) = self.catalogue().lock().get_mut(writer.segment()) {
            segment.bytes = writer.len();
            segment.data_end = writer.len();
            segment.end_entry = writer.next_entry();
            segment.highest = writer.last();
            segment.whole = whole;
            segment.commit_times = times(now);
        }
        let mut indexes = self.indexes();
        if let Some((number, index)) = &mut indexes.active
            && *number == writer.segment()
        {
            let points = now.points.get(index.points.len()..).unwrap_or_default();
            index.points.extend_from_slice(points);
            let definitions = now.definitions.get(index.definitions.len()..);
            index
                .definitions
                .extend_from_slice(definitions.unwrap_or_default());
        }
    }

    pub(super) fn note_sealed(
        &self,
        number: u64,
        data_end: u64,
        len: u64,
        now: PgMicros,
        index: Arc<SegmentIndex>,
    ) {
        if let Some(segment) = self.catalogue().lock().get_mut(number) {
            segment.data_end = data_end;
            segment.bytes = len;
            segment.closed = Some(now);
            segment.state = SegmentState::Sealed;
        }
        let mut indexes = self.indexes();
        indexes.active = None;
        indexes.keep(number, index);
    }
}

/// The earliest and the latest commit time in a segment.
pub(super) fn times(index: &SegmentIndex) -> Option<(PgMicros, PgMicros)> {
    let times = index.times;
    (times.oldest <= times.newest).then_some((times.oldest, times.newest))
}

/// What lies before `written`: what a reader can go to.
fn written_part(index: &SegmentIndex, written: u64) -> SegmentIndex {
    let points = index.points.partition_point(|point| point.offset < written);
    let definitions = index
        .definitions
        .partition_point(|definition| definition.offset < written);
    let mut part = index.clone();
    part.points.truncate(points);
    part.definitions.truncate(definitions);
    part
}
