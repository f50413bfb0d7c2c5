//! The side that appends: encoding and rolling, without I/O.

use std::sync::Arc;

use walgate_core::{Failure, Frames, Gap, PgMicros, Position, StopReason};

use super::catalogue::{Segment, SegmentState};
use super::pending::{Pending, Reached};
use super::spools::FinishedSpool;
use super::view::LogView;
use crate::segment::{Definitions, EncodeError, SegmentHeader, SegmentIndex, SegmentWriter};

/// Appends to the log: what is appended becomes [`Pending`] work for
/// [`LogFiles`](super::LogFiles). Does no I/O and never waits.
#[derive(Debug)]
pub struct Appender {
    view: LogView,
    segment_bytes: u64,
    /// Of the active segment.
    header: SegmentHeader,
    /// None when the log is sealed for good.
    writer: Option<SegmentWriter>,
    definitions: Definitions,
    pending: Pending,
    whole: Position,
    next_entry: u64,
}

impl Appender {
    pub(super) fn begin(
        view: LogView,
        segment_bytes: u64,
        header: SegmentHeader,
        whole: Position,
    ) -> Result<Self, Failure> {
        let mut this = Self {
            view,
            segment_bytes,
            definitions: Definitions::starting_at(header.next_definition),
            pending: Pending::default(),
            writer: None,
            whole,
            next_entry: header.first_entry,
            header,
        };
        this.begin_segment()?;
        Ok(this)
    }

    /// The number that the next entry gets.
    pub const fn next_entry(&self) -> u64 {
        self.next_entry
    }

    /// The number of the segment that is appended to.
    pub const fn segment(&self) -> u64 {
        self.header.number
    }

    /// For readers.
    pub const fn view(&self) -> &LogView {
        &self.view
    }

    /// The work since the last call; [`LogFiles::queue`](super::LogFiles::queue) takes it.
    pub fn take_pending(&mut self) -> Pending {
        std::mem::take(&mut self.pending)
    }

    /// Bytes of work that was not taken: memory.
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes()
    }

    /// Appends frames, and begins a new segment first when this one is full. Returns the number of
    /// the entry; none for what has no frames: its progress is kept, but is no entry.
    ///
    /// # Errors
    ///
    /// When the frames are not sound, or larger than any record: nothing was appended.
    pub fn append(&mut self, frames: &Frames, now: PgMicros) -> Result<Option<u64>, Failure> {
        if frames.frames.is_empty() && frames.progress.is_none() {
            return Ok(None);
        }
        let entry = self.record(now, |writer, definitions, out| {
            writer.append(frames, definitions, out)
        })?;
        Ok(entry.map(|at| at.entry))
    }

    /// Appends a gap, in LSNs of the segment's epoch. Returns the number of the entry.
    ///
    /// # Errors
    ///
    /// When the segment takes no more records, which no segment reaches.
    pub fn append_gap(&mut self, gap: &Gap, now: PgMicros) -> Result<u64, Failure> {
        let at = self.record(now, |writer, _, out| writer.gap(gap, out))?;
        Ok(at.entry)
    }

    /// Appends a transaction whose changes lie in a spool, in a segment of its own. Returns the
    /// number of its first entry; it has as many as [`Adoption::entries`](crate::segment::Adoption::entries).
    ///
    /// # Errors
    ///
    /// When it is larger than any record, or of another epoch: nothing was appended.
    pub fn adopt(&mut self, spool: &FinishedSpool, now: PgMicros) -> Result<u64, Failure> {
        let adoption = &spool.adoption;
        // Nor in one that is full of progress: the record would go on in the next, and the spool has
        // the number of its segment.
        let fits = |writer: &SegmentWriter| {
            writer.index().entries == 0 && writer.len() < self.segment_bytes
        };
        if self.writer.as_ref().is_some_and(|writer| !fits(writer)) {
            self.roll(now)?;
        }
        self.pending.adopt(self.header.number, spool.name.clone());
        let at = self.record(now, |writer, definitions, out| {
            writer.reference(adoption, definitions, out)
        })?;
        let catalogue = self.view.catalogue();
        if let Some(segment) = catalogue.lock().get_mut(self.header.number) {
            segment.spool_bytes = adoption.spool_bytes;
        }
        // The active segment is never deleted, and this one may be most of the budget.
        self.roll(now)?;
        Ok(at.entry)
    }

    /// Nothing more will be appended: seals the segment.
    ///
    /// # Errors
    ///
    /// When the index can't be encoded; the segment then stays without one.
    pub fn seal(&mut self, now: PgMicros) -> Result<(), Failure> {
        self.seal_segment(now)
    }

    fn record<R>(
        &mut self,
        now: PgMicros,
        encode: impl FnOnce(
            &mut SegmentWriter,
            &mut Definitions,
            &mut Vec<u8>,
        ) -> Result<R, EncodeError>,
    ) -> Result<R, Failure> {
        if self
            .writer
            .as_ref()
            .is_some_and(|writer| writer.len() >= self.segment_bytes || writer.holds_reference())
        {
            self.roll(now)?;
        }
        let Some(writer) = &mut self.writer else {
            let message = "something was appended behind the end of the journal";
            return Err(Failure::new(StopReason::Data, message));
        };
        let (segment, epoch) = (self.header.number, self.header.facts.epoch);
        let definitions = &mut self.definitions;
        let before = self.whole;
        let result = self.pending.write(segment, writer.len(), |out| {
            let result = encode(writer, definitions, out);
            let whole = whole_of(before, epoch, writer);
            let end_entry = writer.next_entry();
            (result, Reached { whole, end_entry })
        });
        // Also when it has failed: definitions may have been appended.
        self.whole = whole_of(before, epoch, writer);
        self.next_entry = writer.next_entry();
        self.view.note_appended(writer, self.whole);
        result.map_err(|error| refused(&error))
    }

    fn roll(&mut self, now: PgMicros) -> Result<(), Failure> {
        let before = self.view.catalogue().newest();
        self.seal_segment(now)?;
        self.header = SegmentHeader {
            number: self.header.number + 1,
            first_entry: self.next_entry,
            before,
            created: now,
            next_definition: self.definitions.next(),
            facts: self.header.facts.clone(),
        };
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<(), Failure> {
        let header = &self.header;
        let mut first = Vec::new();
        let keys = self.view.storage().keys();
        let writer = SegmentWriter::begin_with(header, &keys, &mut first)
            .map_err(|error| refused(&error))?;
        self.pending.begin(header.number);
        let reached = Reached {
            whole: self.whole,
            end_entry: header.first_entry,
        };
        self.pending.write(header.number, 0, |out| {
            out.extend_from_slice(&first);
            ((), reached)
        });
        let segment = Segment {
            number: header.number,
            first_entry: header.first_entry,
            end_entry: header.first_entry,
            before: header.before,
            highest: header.before,
            whole: self.whole,
            created: header.created,
            closed: None,
            commit_times: None,
            bytes: writer.len(),
            spool_bytes: 0,
            packed_from: None,
            written: 0,
            synced: 0,
            data_end: writer.len(),
            state: SegmentState::Active,
        };
        self.view.begin_segment(segment, SegmentIndex::new(header));
        self.writer = Some(writer);
        Ok(())
    }

    fn seal_segment(&mut self, now: PgMicros) -> Result<(), Failure> {
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let (segment, data_end) = (self.header.number, writer.len());
        let reached = Reached {
            whole: self.whole,
            end_entry: self.next_entry,
        };
        let (index, len) = self
            .pending
            .write(segment, data_end, |out| (writer.seal(out), reached))
            .map_err(|error| refused(&error))?;
        self.pending.seal(segment);
        self.view
            .note_sealed(segment, data_end, len, now, Arc::new(index));
        Ok(())
    }
}

fn whole_of(before: Position, epoch: u8, writer: &SegmentWriter) -> Position {
    let whole = writer.whole().map(|lsn| Position::new(epoch, lsn, 0));
    before.max(whole.unwrap_or_default())
}

fn refused(error: &EncodeError) -> Failure {
    Failure::new(
        StopReason::Data,
        format!("the journal can't take it: {error}"),
    )
}
