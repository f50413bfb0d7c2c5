//! `walgate journal export`.

use std::sync::Arc;

use walgate_core::{Failure, Frames, Gap, PgMicros, Position, StopReason};
use walgate_journal::segment::{
    Definitions, EncodeError, Keyring, SegmentFacts, SegmentHeader, SegmentWriter,
};
use walgate_journal::storage::{Folder, Storage, StoredFile};

use crate::args::ExportArgs;
use crate::ending::Ending;
use crate::record::check_empty;
use crate::status_line::bytes;
use crate::wiring::{Piece, Range, Recording};

/// As large as the journal's own.
const SEGMENT_BYTES: u64 = 64 << 20;

/// What is collected before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// Copies a part of a journal into a recording.
pub(super) fn export(args: &ExportArgs) -> Result<String, Ending> {
    let keys = args.keys.load()?;
    let recording = Recording::open(&args.path, keys.clone())?;
    let range = recording.range(&args.range)?;
    if range.to == recording.whole() {
        recording.warn_of_its_end();
    }
    // Whole transactions: all of the one that the end lies in.
    let to = match range.to.index() {
        0 => range.to,
        _ => Position::committed(range.to.epoch(), range.to.lsn()).min(recording.whole()),
    };
    let range = Range { to, ..range };
    check_empty(&args.out)?;
    let storage = Arc::new(Folder::take(&args.out)?);
    let mut copy = Copy::new(storage, range.begin(), keys);
    match copy.all(&recording, range, args) {
        Ok(()) => Ok(format!(
            "{} entries behind {} up to {} in {} segments, {}\n",
            copy.next_entry - FIRST_ENTRY,
            range.from.lsn(),
            range.to.lsn(),
            copy.segments,
            bytes(copy.bytes)
        )),
        Err(failure) => {
            copy.remove();
            Err(failure.into())
        }
    }
}

const FIRST_ENTRY: u64 = 1;

/// A recording that is being written.
struct Copy {
    storage: Arc<Folder>,
    /// What is read with keys is written with the newest of them.
    keys: Keyring,
    definitions: Definitions,
    segment: Option<OpenSegment>,
    /// How many were begun; the number of the last.
    segments: u64,
    next_entry: u64,
    /// Everything up to here was written, or left out.
    last: Position,
    bytes: u64,
}

struct OpenSegment {
    writer: SegmentWriter,
    file: Arc<dyn StoredFile>,
    facts: SegmentFacts,
    /// What is not written yet.
    pending: Vec<u8>,
    written: u64,
}

/// The segment of the original that an entry comes from.
struct Origin {
    end_entry: u64,
    facts: SegmentFacts,
}

impl Copy {
    fn new(storage: Arc<Folder>, from: Position, keys: Keyring) -> Self {
        Self {
            storage,
            keys,
            definitions: Definitions::default(),
            segment: None,
            segments: 0,
            next_entry: FIRST_ENTRY,
            last: from,
            bytes: 0,
        }
    }

    fn all(
        &mut self,
        recording: &Recording,
        range: Range,
        args: &ExportArgs,
    ) -> Result<(), Failure> {
        let mut walk = recording.walk(range, args.on_damage);
        let mut origin = origin(recording, 0)?;
        while let Some(pieces) = walk.read()? {
            for piece in pieces {
                match piece {
                    Piece::Frames(entry, frames) => {
                        if origin.end_entry <= entry {
                            origin = self::origin(recording, entry)?;
                        }
                        self.frames(&origin.facts, &frames)?;
                    }
                    Piece::Gap(epoch, gap) => {
                        origin.facts.epoch = epoch;
                        self.gap(&origin.facts, &gap)?;
                    }
                    Piece::Progress(position) => {
                        if let Some(open) = self.of_epoch(position.epoch()) {
                            open.writer
                                .progress(position.lsn(), &mut open.pending)
                                .map_err(|error| refused(&error))?;
                        }
                    }
                }
            }
        }
        // A recording of nothing says at least where nothing lies.
        self.segment(&origin.facts)?;
        self.seal()?;
        self.storage.sync_folder().map_err(|error| self.io(&error))
    }

    fn frames(&mut self, facts: &SegmentFacts, frames: &Frames) -> Result<(), Failure> {
        self.segment(facts)?;
        let definitions = &mut self.definitions;
        if let Some(open) = &mut self.segment {
            open.writer
                .append(frames, definitions, &mut open.pending)
                .map_err(|error| refused(&error))?;
        }
        self.after()
    }

    fn gap(&mut self, facts: &SegmentFacts, gap: &Gap) -> Result<(), Failure> {
        self.segment(facts)?;
        if let Some(open) = &mut self.segment {
            open.writer
                .gap(gap, &mut open.pending)
                .map_err(|error| refused(&error))?;
        }
        self.after()
    }

    fn of_epoch(&mut self, epoch: u8) -> Option<&mut OpenSegment> {
        self.segment
            .as_mut()
            .filter(|open| open.facts.epoch == epoch)
    }

    fn after(&mut self) -> Result<(), Failure> {
        let Some(open) = &mut self.segment else {
            return Ok(());
        };
        self.next_entry = open.writer.next_entry();
        self.last = open.writer.last();
        if open.pending.len() < WRITE_BYTES {
            return Ok(());
        }
        let written = open.write();
        written.map_err(|error| self.io(&error))
    }

    /// Sees to it that there is a segment of these facts that is not full.
    fn segment(&mut self, facts: &SegmentFacts) -> Result<(), Failure> {
        let fits = |open: &OpenSegment| open.facts == *facts && open.writer.len() < SEGMENT_BYTES;
        if self.segment.as_ref().is_some_and(fits) {
            return Ok(());
        }
        self.seal()?;
        self.segments += 1;
        let header = SegmentHeader {
            number: self.segments,
            first_entry: self.next_entry,
            before: self.last,
            created: now(),
            next_definition: self.definitions.next(),
            facts: facts.clone(),
        };
        let mut pending = Vec::new();
        let writer = SegmentWriter::begin_with(&header, &self.keys, &mut pending)
            .map_err(|error| refused(&error))?;
        let file = self.storage.create(&name(self.segments));
        let file = file.map_err(|error| self.io(&error))?;
        self.segment = Some(OpenSegment {
            writer,
            file,
            facts: facts.clone(),
            pending,
            written: 0,
        });
        Ok(())
    }

    fn seal(&mut self) -> Result<(), Failure> {
        let Some(open) = self.segment.take() else {
            return Ok(());
        };
        let OpenSegment {
            writer,
            file,
            mut pending,
            written,
            ..
        } = open;
        self.last = writer.last();
        let (_, len) = writer.seal(&mut pending).map_err(|error| refused(&error))?;
        self.bytes += len;
        let done = file.write_at(&pending, written);
        done.and_then(|()| file.sync_data())
            .map_err(|error| self.io(&error))
    }

    /// What is not whole is no recording.
    fn remove(&self) {
        for number in 1..=self.segments {
            if let Err(error) = self.storage.remove(&name(number)) {
                tracing::warn!(file = name(number), "can't be removed: {error}");
            }
        }
    }

    fn io(&self, error: &std::io::Error) -> Failure {
        let folder = self.storage.path().display();
        Failure::new(
            StopReason::State,
            format!("{folder} can't be written: {error}"),
        )
        .hint(format!("see how much is free: df {folder}"))
    }
}

impl OpenSegment {
    fn write(&mut self) -> std::io::Result<()> {
        self.file.write_at(&self.pending, self.written)?;
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// Of the segment that an entry lies in, or of the nearest whose header can be read.
fn origin(recording: &Recording, entry: u64) -> Result<Origin, Failure> {
    let view = recording.view();
    let segments = view.catalogue().segments();
    let place = segments.partition_point(|segment| segment.end_entry <= entry);
    let place = place.min(segments.len().saturating_sub(1));
    let (before, from) = segments.split_at(place);
    let end_entry = from.first().map_or(u64::MAX, |segment| segment.end_entry);
    for segment in from.iter().chain(before.iter().rev()) {
        if let Some(header) = view.header(segment.number)? {
            let facts = header.facts;
            return Ok(Origin { end_entry, facts });
        }
    }
    let message = format!(
        "no segment of {} has a header",
        recording.folder().display()
    );
    Err(Failure::new(StopReason::Data, message))
}

fn name(number: u64) -> String {
    format!("{number:016x}.segment")
}

fn now() -> PgMicros {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.unwrap_or_default().as_micros();
    PgMicros::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

fn refused(error: &EncodeError) -> Failure {
    let message = format!("the recording can't take it: {error}");
    Failure::new(StopReason::Data, message)
}
