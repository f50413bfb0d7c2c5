//! A reader's place in the log on disk.

use std::io::ErrorKind;
use std::sync::Arc;

use walgate_core::{Failure, Position};

use super::catalogue::{Segment, SegmentState};
use super::chunk::{Chunk, Target, Then};
use super::damaged::DamagedPlace;
use super::files::segment_name;
use super::records::{self, CHUNK_BYTES, Records, Walk};
use super::spooled::Spooled;
use super::view::LogView;
use crate::segment::{Damage, DefinitionCache, Location, Record, SegmentReader};
use crate::storage::StoredFile;

mod adopted;

/// Definitions that a reader remembers before it begins anew with the next segment: they are shared
/// with the frames that it has handed out, so this bounds what it holds alone.
const KEPT_DEFINITIONS: usize = 1 << 16;

/// Reads the log from a place on, in chunks of about a mebibyte; independent of all locks that
/// appending and writing hold. It follows the log into the segments to come.
#[derive(Debug)]
pub struct LogReader {
    view: LogView,
    cache: DefinitionCache,
    at: At,
    /// Everything up to here was read, or was not asked for.
    reached: Position,
    /// The number of the next entry.
    next_entry: Option<u64>,
    /// What is left out until the first entry that is not.
    leave_out: Option<Target>,
    /// It stops here until it is told to go on.
    stop: Option<Then>,
}

#[derive(Debug)]
enum At {
    /// The place has to be found.
    Seek(Target),
    /// At the start of this segment.
    Start(u64),
    /// In a segment.
    In(Records),
    /// In the spool of a segment, whose records go on behind it.
    Spool(Box<Spooled>, Records),
    /// Behind everything in this segment.
    Behind(u64),
}

/// What a step has come to.
enum Step {
    /// It goes on.
    On,
    /// It goes on, but enough was read for once.
    Enough,
    /// There is nothing more that is written.
    Tail,
    /// It stops.
    Stop(Then),
}

impl LogReader {
    pub(super) fn at(view: LogView, entry: u64) -> Self {
        Self::new(view, Target::Entry(entry), Position::ZERO, Some(entry))
    }

    pub(super) fn behind(view: LogView, position: Position) -> Self {
        Self::new(view, Target::Position(position), position, None)
    }

    fn new(view: LogView, target: Target, reached: Position, next_entry: Option<u64>) -> Self {
        Self {
            view,
            cache: DefinitionCache::new(),
            at: At::Seek(target),
            reached,
            next_entry,
            leave_out: Some(target),
            stop: None,
        }
    }

    /// The number of the next entry; none before the first read of a reader that began at a
    /// position.
    pub const fn next_entry(&self) -> Option<u64> {
        self.next_entry
    }

    /// Everything up to here was read, or was not asked for.
    pub const fn reached(&self) -> Position {
        self.reached
    }

    /// Reads on. Blocks.
    ///
    /// # Errors
    ///
    /// When the disk fails to read, or a later version has written what comes. It can be tried
    /// again.
    pub fn read(&mut self) -> Result<Chunk, Failure> {
        let mut chunk = Chunk::new();
        let mut bytes = 0;
        loop {
            if let Some(stop) = &self.stop {
                chunk.then = stop.clone();
                return Ok(chunk);
            }
            let step = match self.step(&mut chunk, &mut bytes) {
                // What was read counts; the error comes again with the next read.
                Err(_) if !chunk.is_empty() => Step::Enough,
                step => step?,
            };
            match step {
                Step::On => {}
                Step::Enough => return Ok(chunk),
                Step::Tail => {
                    chunk.then = Then::Tail;
                    return Ok(chunk);
                }
                Step::Stop(stop) => self.stop = Some(stop),
            }
        }
    }

    /// Goes on behind what is [gone](Then::Gone) or [damaged](Then::Damaged).
    pub fn go_on(&mut self) {
        match self.stop.take() {
            Some(Then::Gone { oldest, .. }) => {
                self.reached = self.reached.max(oldest);
                let segments = self.view.catalogue().lock();
                let first = segments.list.front();
                self.next_entry = first.map(|first| first.first_entry);
                self.at = match first {
                    Some(first) => At::Start(first.number),
                    None => At::Seek(Target::Position(oldest)),
                };
            }
            Some(Then::Damaged(place)) => {
                if let Some(to) = place.to {
                    self.reached = self.reached.max(to);
                }
            }
            Some(Then::More | Then::Tail) | None => {}
        }
    }

    fn step(&mut self, chunk: &mut Chunk, bytes: &mut usize) -> Result<Step, Failure> {
        match &self.at {
            At::Seek(target) => self.seek(*target),
            At::Start(number) => self.start(*number),
            At::Behind(number) => {
                let after = self
                    .view
                    .catalogue()
                    .lock()
                    .after(*number)
                    .map(|next| next.number);
                match after {
                    Some(next) => {
                        self.at = At::Start(next);
                        Ok(Step::On)
                    }
                    None => Ok(Step::Tail),
                }
            }
            At::In(_) => self.walk(chunk, bytes),
            At::Spool(..) => self.walk_spool(chunk, bytes),
        }
    }

    /// Finds the segment and the last point of its index at or before the target.
    fn seek(&mut self, target: Target) -> Result<Step, Failure> {
        let (segment, previous) = {
            let segments = self.view.catalogue().lock();
            let place = match target {
                Target::Entry(entry) => segments.list.partition_point(|one| one.end_entry <= entry),
                Target::Position(position) => {
                    segments.list.partition_point(|one| one.highest <= position)
                }
            };
            let place = place.min(segments.list.len().saturating_sub(1));
            let previous = place
                .checked_sub(1)
                .and_then(|place| segments.list.get(place));
            match segments.list.get(place) {
                Some(segment) => (segment.clone(), previous.map(|one| one.highest)),
                None => return Ok(Step::Tail),
            }
        };
        let is_before = match target {
            Target::Entry(entry) => entry < segment.first_entry,
            Target::Position(position) => position < segment.before,
        };
        if is_before {
            let Some(previous) = previous else {
                return Ok(Step::Stop(self.gone(segment.before)));
            };
            self.reached = self.reached.max(previous);
            // Also when nothing of it is written yet: whoever asks goes on there, in memory.
            self.next_entry = Some(segment.first_entry);
            self.at = At::Start(segment.number);
            return Ok(Step::On);
        }
        let index = self.view.index(&segment)?;
        let point = index.as_ref().and_then(|index| match target {
            Target::Entry(entry) => index.point_of_entry(entry),
            Target::Position(position) => index.point_behind(position),
        });
        let (Some(index), Some(point)) = (&index, point) else {
            self.next_entry = Some(segment.first_entry);
            self.reached = self.reached.max(segment.before);
            self.at = At::Start(segment.number);
            return Ok(Step::On);
        };
        let storage = Arc::clone(self.view.storage());
        let Some(file) = self.open(&segment)? else {
            return Ok(Step::On);
        };
        let at = point.location();
        let reader = records::resume(storage.as_ref(), file.as_ref(), &segment, at)?;
        let records = Records::new(file, reader);
        if records.is_packed() != segment.packed_from.is_some() {
            self.view.look_again(segment.number)?;
            return Ok(Step::On);
        }
        records.load_definitions(storage.as_ref(), index, point.offset, &mut self.cache)?;
        self.reached = self.reached.max(point.before);
        self.next_entry = Some(point.entry);
        self.at = At::In(records);
        Ok(Step::On)
    }

    /// Begins a segment.
    fn start(&mut self, number: u64) -> Result<Step, Failure> {
        let (segment, is_first) = {
            let segments = self.view.catalogue().lock();
            let first = segments.list.front().map(|first| first.number);
            (segments.get(number).cloned(), first == Some(number))
        };
        let Some(segment) = segment else {
            return Ok(self.behind_deleted(number));
        };
        if segment.written == 0 && segment.state != SegmentState::Open {
            return Ok(Step::Tail);
        }
        let missing = self
            .next_entry
            .is_some_and(|next| next < segment.first_entry);
        // Another epoch's positions begin elsewhere; the source has announced it.
        let jumps = segment.before > self.reached && segment.before.epoch() == self.reached.epoch();
        if (missing || jumps) && is_first {
            // What came before was deleted before it got there.
            return Ok(Step::Stop(self.gone(segment.before)));
        }
        if missing || jumps {
            let what = match missing {
                true => "entries before this segment are missing",
                false => "what came before this segment was not kept",
            };
            self.next_entry = Some(segment.first_entry);
            return Ok(Step::Stop(Then::Damaged(DamagedPlace {
                segment: number,
                spool: false,
                offset: 0,
                what: what.to_owned(),
                from: self.reached,
                to: Some(segment.before.max(self.reached)),
            })));
        }
        if self.cache.len() > KEPT_DEFINITIONS {
            self.cache = DefinitionCache::new();
        }
        let Some(file) = self.open(&segment)? else {
            return Ok(Step::On);
        };
        let storage = Arc::clone(self.view.storage());
        let end = segment.written.min(segment.data_end);
        match records::open_header(storage.as_ref(), file.as_ref(), number, end)? {
            Ok((_, reader)) if reader.packed_from().is_some() != segment.packed_from.is_some() => {
                self.view.look_again(number)?;
                Ok(Step::On)
            }
            Ok((_, reader)) => {
                self.next_entry = Some(segment.first_entry);
                self.at = At::In(Records::new(file, reader));
                Ok(Step::On)
            }
            // As for records: a sync that is failing may have taken it back.
            Err(_) if segment.synced == 0 => Ok(Step::Tail),
            Err(damage) => {
                // The index knows the first entry, and what a header says beside is not needed.
                if let Some(index) = self.view.index(&segment)?
                    && let Some(point) = index.points.first()
                {
                    let reader = SegmentReader::resume(number, point.location())
                        .known_packed_from(segment.packed_from);
                    let records = Records::new(file, reader);
                    let offset = point.offset;
                    records.load_definitions(storage.as_ref(), &index, offset, &mut self.cache)?;
                    self.next_entry = Some(point.entry);
                    self.at = At::In(records);
                    return Ok(Step::On);
                }
                Ok(self.lost_rest(&segment, &damage))
            }
        }
    }

    /// Takes records off the segment.
    fn walk(&mut self, chunk: &mut Chunk, bytes: &mut usize) -> Result<Step, Failure> {
        let At::In(records) = &mut self.at else {
            return Ok(Step::On);
        };
        let number = records.segment();
        // Both at once: what comes behind this segment begins when all of this one is known.
        let (segment, has_next) = {
            let segments = self.view.catalogue().lock();
            (
                segments.get(number).cloned(),
                segments.after(number).is_some(),
            )
        };
        let Some(segment) = segment else {
            return Ok(self.behind_deleted(number));
        };
        if records.is_packed() != segment.packed_from.is_some() {
            // It was compressed since it was opened: it goes on in the new file.
            if let Some(next) = self.next_entry {
                self.view.look_again(number)?;
                let target = Target::Entry(next);
                self.leave_out = Some(target);
                self.at = At::Seek(target);
                return Ok(Step::On);
            }
        }
        let storage = Arc::clone(self.view.storage());
        let end = segment.written.min(segment.data_end);
        loop {
            match records.next(storage.as_ref(), end, &mut self.cache)? {
                // As behind bad bytes.
                Walk::Record(at, _, Record::Run(_) | Record::Gap { .. } | Record::Reference(_))
                    if !segment.counts(at.entry) =>
                {
                    self.at = At::Behind(number);
                    return Ok(Step::On);
                }
                Walk::Record(at, _, Record::Reference(reference)) => {
                    // It stays before the record until the spool is open.
                    let behind = records.location();
                    records.go_to(at);
                    return self.enter(&segment, reference, behind);
                }
                Walk::Record(at, len, record) => {
                    *bytes += len as usize;
                    self.next_entry = Some(records.location().entry);
                    let upto = chunk.take(at.entry, record, &mut self.leave_out);
                    self.reached = self.reached.max(upto.unwrap_or_default());
                    if *bytes >= CHUNK_BYTES {
                        return Ok(Step::Enough);
                    }
                }
                Walk::End if has_next && end >= segment.data_end => {
                    self.at = At::Behind(number);
                    return Ok(Step::On);
                }
                Walk::End => return Ok(Step::Tail),
                Walk::Bad(damage) => return self.bad(&segment, &damage, end),
            }
        }
    }

    /// At bytes that are no record: finds where it can go on, and stops.
    fn bad(&mut self, segment: &Segment, damage: &Damage, end: u64) -> Result<Step, Failure> {
        let At::In(records) = &mut self.at else {
            return Ok(Step::On);
        };
        let bad = records.location();
        if damage.offset >= segment.synced {
            // A sync that is failing may take back what was written. It was promised to nobody: it
            // is looked at again when it is synced, which it then never is.
            records.go_to(bad);
            return Ok(Step::Tail);
        }
        let behind = self.behind_bad(segment, end);
        let At::In(records) = &mut self.at else {
            return Ok(Step::On);
        };
        let (here, to) = match behind {
            Ok(Some(behind)) if segment.counts(behind.0.entry) => behind,
            Ok(_) => return Ok(self.lost_rest(segment, damage)),
            Err(failure) => {
                records.go_to(bad);
                return Err(failure);
            }
        };
        // Where no entry follows, it is not known whether the bad record was one.
        let entry = here.entry.min(segment.end_entry);
        records.go_to(Location { entry, ..here });
        self.next_entry = Some(entry);
        Ok(Step::Stop(Then::Damaged(DamagedPlace {
            segment: segment.number,
            spool: false,
            offset: damage.offset,
            what: damage.what.to_owned(),
            from: self.reached,
            to: Some(to.max(self.reached)),
        })))
    }

    /// Where the records go on behind bad bytes, and a position that nothing before lies above.
    fn behind_bad(
        &mut self,
        segment: &Segment,
        end: u64,
    ) -> Result<Option<(Location, Position)>, Failure> {
        let index = self.view.index(segment)?;
        let storage = Arc::clone(self.view.storage());
        let At::In(records) = &mut self.at else {
            return Ok(None);
        };
        if !records.skip_bad(storage.as_ref(), end, index.as_deref(), &mut self.cache)? {
            return Ok(None);
        }
        let here = records.location();
        let point = index.as_ref().and_then(|index| {
            let point = index.point_at_or_behind(here.offset)?;
            (point.offset == here.offset).then_some(point.before)
        });
        let to = match point {
            Some(before) => Some(before),
            None => records.before_next(storage.as_ref(), end, &mut self.cache)?,
        };
        Ok(Some((here, to.unwrap_or(segment.highest))))
    }

    /// Nothing more of this segment can be read.
    fn lost_rest(&mut self, segment: &Segment, damage: &Damage) -> Step {
        self.lost(segment, false, damage)
    }

    /// The same where it lies in the segment's spool.
    fn lost_spool(&mut self, segment: &Segment, damage: &Damage) -> Step {
        self.lost(segment, true, damage)
    }

    fn lost(&mut self, segment: &Segment, spool: bool, damage: &Damage) -> Step {
        let next = {
            let segments = self.view.catalogue().lock();
            segments
                .after(segment.number)
                .map(|next| (next.first_entry, next.before))
        };
        self.next_entry = Some(next.map_or(segment.end_entry, |(first, _)| first));
        self.at = At::Behind(segment.number);
        Step::Stop(Then::Damaged(DamagedPlace {
            segment: segment.number,
            spool,
            offset: damage.offset,
            what: damage.what.to_owned(),
            from: self.reached,
            to: next.map(|(_, before)| before.max(self.reached)),
        }))
    }

    /// The segment that it is in, or was about to read, is deleted. Nothing is lost when all of it
    /// was read.
    fn behind_deleted(&mut self, number: u64) -> Step {
        let segments = self.view.catalogue().lock();
        let next = segments
            .after(number)
            .map(|next| (next.number, next.first_entry, next.before));
        drop(segments);
        match next {
            None => Step::Tail,
            Some((next, first_entry, _)) if self.next_entry == Some(first_entry) => {
                self.at = At::Start(next);
                Step::On
            }
            Some((_, _, before)) => Step::Stop(self.gone(before)),
        }
    }

    fn gone(&self, oldest: Position) -> Then {
        Then::Gone {
            from: self.reached,
            oldest,
        }
    }

    /// Opens the segment's file; none when it is not there: deleted in the meantime, or missing,
    /// and then where it goes on is set.
    fn open(&mut self, segment: &Segment) -> Result<Option<Arc<dyn StoredFile>>, Failure> {
        let storage = self.view.storage();
        match storage.open(&segment_name(segment.number)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let deleted = self.view.is_deleted(segment.number);
                let stop = match deleted {
                    true => self.behind_deleted(segment.number),
                    // The whole folder may be gone for a while, which is no damage.
                    false if storage.list().is_err() => {
                        let number = segment.number;
                        return Err(records::unreadable(storage.as_ref(), number, &error));
                    }
                    false => {
                        let what = "the file is missing";
                        self.lost_rest(segment, &Damage { offset: 0, what })
                    }
                };
                if let Step::Stop(stop) = stop {
                    self.stop = Some(stop);
                }
                Ok(None)
            }
            Err(error) => {
                let number = segment.number;
                Err(records::unreadable(storage.as_ref(), number, &error))
            }
        }
    }
}
