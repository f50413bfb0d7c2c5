//! Messages of the stream into frames with positions.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use walgate_core::{Frame, FrameKind, Frames, Lsn, Oid, Position, Relation, Transaction, Xid};
use walgate_pgoutput::{CopyFrame, Dialect, Message, OrderChecker, RelationOids, XLOG_DATA_HEADER};

use crate::buffer::{Run, WireMessage, message_at};
use crate::definition::{Definition, TypeNames};
use crate::sequence_error::SequenceError;

/// Definitions in one run of frames; a place has 16 bits, and a reader looks through the list.
const MAX_RELATIONS: usize = 4096;
/// Tables of truncates in one run of frames, as long as their place has 16 bits.
const MAX_TRUNCATED: usize = 60_000;

/// What comes out of a run of messages, in the order of the stream.
#[derive(Debug)]
pub(crate) enum Output {
    /// Frames, or progress.
    Frames(Frames),
    /// A definition has arrived that needs facts of the catalog. Nothing goes on before
    /// [`Sequencer::define`].
    Undefined(Box<Definition>),
    /// A message that is not CopyData, by its tag: a notice, an error, the end.
    Other(u8, bytes::Bytes),
    /// Everything up to the position to stop at has been handed over.
    End,
}

/// What the feedback wants to know of what was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The highest position that was received.
    pub(crate) received: Lsn,
    /// The server wants a status now; its `wal_end`.
    pub(crate) reply_requested: Option<Lsn>,
}

/// Where the source stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StopAt {
    /// Everything that commits up to and including this is handed over.
    pub(crate) lsn: Lsn,
    /// The log is known to go on behind it, so a keepalive *at* it does not yet mean that the
    /// transaction that commits exactly there has been sent.
    pub(crate) log_goes_on: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    transaction: Transaction,
    next_index: u32,
}

/// Turns what the server sends on one connection into [`Frames`]. Each message is decoded in full
/// and checked for its place here, once: malformed bytes go no further.
#[derive(Debug)]
pub(crate) struct Sequencer {
    dialect: Dialect,
    epoch: u8,
    stop_at: Option<StopAt>,
    order: OrderChecker,
    types: TypeNames,
    relations: HashMap<Oid, Arc<Relation>>,
    open: Option<Open>,
    /// Everything that commits below it has been handed on.
    resume: Lsn,
    heard: Heard,
    run: Run,
    at: usize,
    building: Building,
    ended: bool,
    failed: Option<SequenceError>,
}

/// The frames of the run that were read so far.
#[derive(Debug, Default)]
struct Building {
    frames: Vec<Frame>,
    relations: Vec<Arc<Relation>>,
    truncated: Vec<u16>,
    open: Option<Transaction>,
    progress: Option<Lsn>,
    last: Option<(Oid, u16)>,
}

impl Sequencer {
    /// For a connection that starts at `resume`.
    pub(crate) fn new(dialect: Dialect, epoch: u8, resume: Lsn, stop_at: Option<StopAt>) -> Self {
        Self {
            dialect,
            epoch,
            stop_at,
            order: OrderChecker::new(),
            types: TypeNames::default(),
            relations: HashMap::new(),
            open: None,
            resume,
            heard: Heard {
                received: resume,
                reply_requested: None,
            },
            run: Run {
                bytes: bytes::Bytes::new(),
                pinned: 0,
            },
            at: 0,
            building: Building::default(),
            ended: false,
            failed: None,
        }
    }

    /// Keeps the definitions of the connection before: one that comes again unchanged stays the
    /// same `Arc`.
    pub(crate) fn with_known(mut self, relations: HashMap<Oid, Arc<Relation>>) -> Self {
        self.relations = relations;
        self
    }

    /// The definitions, for the next connection.
    pub(crate) fn take_known(&mut self) -> HashMap<Oid, Arc<Relation>> {
        std::mem::take(&mut self.relations)
    }

    /// Where the next connection starts: behind the last whole transaction that was handed on.
    pub(crate) const fn resume(&self) -> Lsn {
        self.resume
    }

    /// The log must go on behind this to be the one that was handed on: a part of the open
    /// transaction may have reached a sink, and its commit must be there.
    pub(crate) fn reached(&self) -> Lsn {
        let open = self.open.map(|open| open.transaction.commit_lsn);
        let behind = open.map(|commit| commit.checked_add(1).unwrap_or(commit));
        behind.unwrap_or_default().max(self.resume)
    }

    /// What was heard since it was asked last; `received` stays.
    pub(crate) fn heard(&mut self) -> Heard {
        let heard = self.heard;
        self.heard.reply_requested = None;
        heard
    }

    /// The transaction that is open, for errors.
    pub(crate) fn open_xid(&self) -> Option<Xid> {
        self.open.map(|open| open.transaction.xid)
    }

    /// A relation by its oid, for errors.
    pub(crate) fn relation(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.relations.get(&oid)
    }

    /// Gives the next run. The one before must have been read to its end.
    pub(crate) fn feed(&mut self, run: Run) {
        debug_assert!(
            self.at >= self.run.bytes.len(),
            "the run before is not read to its end"
        );
        self.run = run;
        self.at = 0;
        self.building.open = self.open.map(|open| open.transaction);
    }

    /// The next output of the run; none when it is read to its end.
    pub(crate) fn next(&mut self) -> Result<Option<Output>, SequenceError> {
        if self.ended {
            return Ok(Some(Output::End));
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let bytes = self.run.bytes.clone();
        while let Some((message, next)) = message_at(&bytes, self.at) {
            let output = if message.tag == b'd' {
                match self.copy_data(message) {
                    Ok(taken) => taken,
                    Err(error) => return self.fail(error),
                }
            } else {
                match self.flush() {
                    Some(frames) => return Ok(Some(frames)),
                    None => {
                        self.at = next;
                        let body = bytes.slice(message.start..next);
                        return Ok(Some(Output::Other(message.tag, body)));
                    }
                }
            };
            match output {
                Taken::Yes => self.at = next,
                Taken::FlushFirst => return Ok(self.flush()),
                Taken::Undefined(definition) => {
                    self.at = next;
                    return Ok(Some(Output::Undefined(definition)));
                }
                Taken::End => {
                    self.ended = true;
                    self.progress_to_the_end();
                    return Ok(Some(self.flush().unwrap_or(Output::End)));
                }
                Taken::YesAndEnd => {
                    self.at = next;
                    self.ended = true;
                    return Ok(Some(self.flush().unwrap_or(Output::End)));
                }
            }
        }
        self.at = self.run.bytes.len();
        Ok(self.flush())
    }

    /// A message can't be taken. What was built before it is handed on first: the next connection
    /// starts behind it.
    fn fail(&mut self, error: SequenceError) -> Result<Option<Output>, SequenceError> {
        self.failed = Some(error.clone());
        self.flush().map_or(Err(error), |built| Ok(Some(built)))
    }

    /// What comes next lies behind the position to stop at: everything up to that is handed on.
    /// The server has come past it, although a Begin is sent with the position where its
    /// transaction began, which may be below.
    fn progress_to_the_end(&mut self) {
        if let Some(stop) = self.stop_at.filter(|stop| stop.lsn > self.resume) {
            self.resume = stop.lsn;
            self.heard.received = self.heard.received.max(stop.lsn);
            self.building.progress = Some(stop.lsn);
        }
    }

    /// Answers [`Output::Undefined`].
    pub(crate) fn define(&mut self, relation: Relation) {
        self.building.last = None;
        match self.relations.entry(relation.oid) {
            Entry::Occupied(mut known) if **known.get() != relation => {
                known.insert(Arc::new(relation));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => {
                place.insert(Arc::new(relation));
            }
        }
    }

    /// What was built so far, if it says anything.
    fn flush(&mut self) -> Option<Output> {
        let built = std::mem::take(&mut self.building);
        // The next run is likely as long as this one.
        self.building.frames.reserve(built.frames.len());
        self.building.open = self.open.map(|open| open.transaction);
        if built.frames.is_empty() {
            return built
                .progress
                .map(|lsn| Output::Frames(Frames::progress(self.epoch, lsn)));
        }
        Some(Output::Frames(Frames {
            bytes: self.run.bytes.clone(),
            frames: built.frames,
            relations: built.relations,
            truncated: built.truncated,
            open: built.open,
            epoch: self.epoch,
            progress: built.progress,
            pinned: self.run.pinned,
        }))
    }

    #[inline]
    fn copy_data(&mut self, message: WireMessage<'_>) -> Result<Taken, SequenceError> {
        match CopyFrame::decode(message.body)? {
            CopyFrame::XLogData {
                wal_end, payload, ..
            } => {
                self.heard.received = self.heard.received.max(wal_end);
                let start = message.start + XLOG_DATA_HEADER;
                self.message(payload, start)
            }
            CopyFrame::Keepalive {
                wal_end,
                reply_requested,
                ..
            } => Ok(self.keepalive(wal_end, reply_requested)),
        }
    }

    fn keepalive(&mut self, wal_end: Lsn, reply_requested: bool) -> Taken {
        self.heard.received = self.heard.received.max(wal_end);
        if reply_requested {
            self.heard.reply_requested = Some(wal_end);
        }
        if self.open.is_some() {
            return Taken::Yes;
        }
        if wal_end > self.resume {
            self.resume = wal_end;
            self.building.progress = Some(wal_end);
        }
        match self.stop_at {
            Some(stop) if wal_end > stop.lsn || (wal_end == stop.lsn && !stop.log_goes_on) => {
                Taken::YesAndEnd
            }
            _ => Taken::Yes,
        }
    }

    #[inline]
    fn message(&mut self, payload: &[u8], start: usize) -> Result<Taken, SequenceError> {
        let message = walgate_pgoutput::decode(payload, self.dialect, self.order.in_stream())?;
        if let Some(taken) = self.before(&message) {
            return Ok(taken);
        }
        self.order.check(&message)?;
        let (kind, oid) = match message {
            Message::Insert { relation, .. } => (FrameKind::Insert, relation),
            Message::Update { relation, .. } => (FrameKind::Update, relation),
            Message::Delete { relation, .. } => (FrameKind::Delete, relation),
            other => return self.other(&other, start, payload.len()),
        };
        let index = self.take_indices(1)?;
        let relation = self.place_of(oid)?;
        self.push(kind, relation, index, start, payload.len())?;
        Ok(Taken::Yes)
    }

    /// What must happen before a message may be taken at all.
    fn before(&self, message: &Message<'_>) -> Option<Taken> {
        if let (
            Some(stop),
            Message::Begin { final_lsn: lsn, .. }
            | Message::Message {
                lsn,
                transactional: false,
                ..
            },
        ) = (self.stop_at, message)
            && *lsn > stop.lsn
        {
            return Some(Taken::End);
        }
        let full = self.building.relations.len() >= MAX_RELATIONS
            || self.building.truncated.len() >= MAX_TRUNCATED;
        full.then_some(Taken::FlushFirst)
    }

    fn other(
        &mut self,
        message: &Message<'_>,
        start: usize,
        len: usize,
    ) -> Result<Taken, SequenceError> {
        match *message {
            Message::Begin {
                final_lsn,
                commit_time,
                xid,
            } => {
                let transaction = Transaction {
                    xid,
                    commit_lsn: final_lsn,
                    commit_time,
                };
                self.open = Some(Open {
                    transaction,
                    next_index: Position::BEGIN,
                });
                self.building.progress = None;
                let index = self.take_indices(1)?;
                self.push(FrameKind::Begin, 0, index, start, len)?;
            }
            Message::Commit { end_lsn, .. } => {
                self.push(FrameKind::Commit, 0, Position::COMMIT, start, len)?;
                self.open = None;
                self.resume = self.resume.max(end_lsn);
                self.heard.received = self.heard.received.max(end_lsn);
                if self.stop_at.is_some_and(|stop| end_lsn > stop.lsn) {
                    return Ok(Taken::YesAndEnd);
                }
            }
            Message::Truncate { relations, .. } => self.truncate(relations, start, len)?,
            Message::Message {
                transactional: true,
                ..
            } => {
                let index = self.take_indices(1)?;
                self.push(FrameKind::Message, 0, index, start, len)?;
            }
            Message::Message {
                transactional: false,
                lsn,
                ..
            } => {
                self.building.progress = None;
                self.push(FrameKind::Standalone, 0, 0, start, len)?;
                // The message's LSN is the end of its record, which may be where the commit
                // record of the next transaction starts: starting there repeats neither.
                self.resume = self.resume.max(lsn);
                self.heard.received = self.heard.received.max(lsn);
            }
            Message::Relation(relation) => {
                let definition = self.types.definition(&relation, self.open_xid());
                return Ok(self.announce(definition));
            }
            Message::Type {
                oid,
                namespace,
                name,
                ..
            } => self.types.insert(oid, namespace, name),
            Message::Origin { .. } => {}
            _ => return Err(SequenceError::NotAskedFor(message.tag())),
        }
        Ok(Taken::Yes)
    }

    fn announce(&mut self, definition: Definition) -> Taken {
        if definition.needs_facts() {
            if !self.building.frames.is_empty() {
                // The catalog may keep us waiting; what is before the definition need not.
                return Taken::FlushFirst;
            }
            return Taken::Undefined(Box::new(definition));
        }
        self.define(definition.without_facts());
        Taken::Yes
    }

    fn truncate(
        &mut self,
        oids: RelationOids<'_>,
        start: usize,
        len: usize,
    ) -> Result<(), SequenceError> {
        let tables = u32::try_from(oids.len()).map_err(|_| SequenceError::TooManyTables)?;
        let index = self.take_indices(tables)?;
        let first = u16::try_from(self.building.truncated.len());
        let first = first.map_err(|_| SequenceError::TooManyTables)?;
        for oid in oids {
            let place = self.place_of(oid)?;
            self.building.truncated.push(place);
        }
        self.push(FrameKind::Truncate, first, index, start, len)
    }

    fn take_indices(&mut self, count: u32) -> Result<u32, SequenceError> {
        let open = self.open.as_mut().ok_or(SequenceError::NoTransaction)?;
        let index = open.next_index;
        // The last index is the commit's.
        let next = index
            .checked_add(count)
            .filter(|next| *next < Position::COMMIT);
        open.next_index = next.ok_or(SequenceError::TooManyChanges)?;
        Ok(index)
    }

    /// The definition's place in the list of this run of frames.
    #[inline]
    fn place_of(&mut self, oid: Oid) -> Result<u16, SequenceError> {
        if let Some((last, place)) = self.building.last
            && last == oid
        {
            return Ok(place);
        }
        let relation = self
            .relations
            .get(&oid)
            .ok_or(SequenceError::UnknownRelation(oid))?;
        let list = &mut self.building.relations;
        let place = list.iter().rposition(|known| Arc::ptr_eq(known, relation));
        let place = place.unwrap_or_else(|| {
            list.push(Arc::clone(relation));
            list.len() - 1
        });
        let place = u16::try_from(place).map_err(|_| SequenceError::TooManyTables)?;
        self.building.last = Some((oid, place));
        Ok(place)
    }

    #[inline]
    fn push(
        &mut self,
        kind: FrameKind,
        relation: u16,
        index: u32,
        start: usize,
        len: usize,
    ) -> Result<(), SequenceError> {
        let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(len)) else {
            return Err(SequenceError::RunTooLong);
        };
        self.building.frames.push(Frame {
            kind,
            relation,
            index,
            start,
            len,
        });
        Ok(())
    }
}

/// What became of a message.
enum Taken {
    Yes,
    /// Not yet: hand on what is there and come again.
    FlushFirst,
    Undefined(Box<Definition>),
    /// Not at all: it lies behind the end.
    End,
    YesAndEnd,
}

#[cfg(test)]
mod tests;
