//! Messages of the stream into frames with positions.

mod again;
mod known;
mod plain;
mod stream;
mod streaming;
mod streams;

use std::sync::Arc;

use walgate_core::{Frame, FrameKind, Frames, Lsn, Oid, Relation, Streamed, Transaction, Xid};
use walgate_pgoutput::{CopyFrame, Dialect, Message, OrderChecker, XLOG_DATA_HEADER};

use crate::buffer::{Run, WireMessage, message_at};
use crate::definition::{Definition, TypeNames};
use crate::sequence_error::SequenceError;
use streaming::{Chunk, Committing};
use streams::Streams;

pub(crate) use again::{Again, Unstream, Why};
pub(crate) use known::KnownRelations;
pub(crate) use streams::StreamLimits;

/// Definitions in one run of frames; a place has 16 bits, and a reader looks through the list.
const MAX_RELATIONS: usize = 4096;
/// Tables of truncates in one run of frames, as long as their place has 16 bits.
const MAX_TRUNCATED: usize = 60_000;

/// What comes out of a run of messages, in the order of the stream.
#[derive(Debug)]
pub(crate) enum Output {
    /// Frames, or progress.
    Frames(Frames),
    /// News of a transaction that runs.
    Streamed(Streamed),
    /// A definition has arrived that needs facts of the catalog. Nothing goes on before
    /// [`Sequencer::define`].
    Undefined(Box<Definition>),
    /// A message that is not CopyData, by its tag: a notice, an error, the end.
    Other(u8, bytes::Bytes),
    /// Everything up to the position to stop at has been handed over.
    End,
    /// This connection has to be made anew; everything that is whole has been handed over.
    Again(Again),
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
    known: KnownRelations,
    open: Option<Open>,
    streams: Streams,
    chunk: Option<Box<Chunk>>,
    committing: Option<Box<Committing>>,
    awaited: Option<Awaited>,
    /// Everything that commits below it has been handed on.
    resume: Lsn,
    /// The last progress that was made known.
    told: Lsn,
    heard: Heard,
    run: Run,
    at: usize,
    building: Building,
    halted: Option<Halt>,
}

/// Why nothing of this connection is taken any more.
#[derive(Debug, Clone)]
enum Halt {
    Ended,
    Failed(SequenceError),
    Again(Again),
}

/// A transaction that has to come after its commit.
#[derive(Debug, Clone, Copy)]
struct Awaited {
    xid: Xid,
    /// It has come.
    passed: bool,
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
            known: KnownRelations::default(),
            open: None,
            streams: Streams::new(StreamLimits::NONE),
            chunk: None,
            committing: None,
            awaited: None,
            resume,
            told: resume,
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
            halted: None,
        }
    }

    /// With bounds for streamed transactions.
    pub(crate) fn with_limits(mut self, limits: StreamLimits) -> Self {
        self.streams = Streams::new(limits);
        self
    }

    /// Looks out for a transaction.
    pub(crate) fn awaiting(mut self, xid: Option<Xid>) -> Self {
        self.awaited = xid.map(|xid| Awaited { xid, passed: false });
        self
    }

    /// Whether the transaction that is looked out for has been handed on.
    pub(crate) fn has_passed(&self) -> bool {
        self.awaited.is_some_and(|awaited| awaited.passed)
    }

    /// Whether there are streamed transactions that have not come to their end.
    pub(crate) fn has_streams(&self) -> bool {
        !self.streams.is_empty() || self.committing.is_some()
    }

    /// Whether a transaction is open that comes after its commit.
    pub(crate) const fn in_transaction(&self) -> bool {
        self.open.is_some() || self.committing.is_some()
    }

    /// Keeps the definitions of the connection before: one that comes again unchanged stays the
    /// same `Arc`.
    pub(crate) fn with_known(mut self, known: KnownRelations) -> Self {
        self.known = known;
        self
    }

    /// The definitions, for the next connection.
    pub(crate) fn take_known(&mut self) -> KnownRelations {
        self.known.for_the_next()
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
        let open = self.open.map(|open| open.transaction.xid);
        open.or_else(|| self.streams.block_xid())
    }

    /// Whether a stream block is open, for errors.
    pub(crate) const fn in_stream(&self) -> bool {
        self.order.in_stream()
    }

    /// A relation by its oid, for errors.
    pub(crate) fn relation(&self, oid: Oid) -> Option<&Arc<Relation>> {
        self.known.get(oid)
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
        let bytes = self.run.bytes.clone();
        loop {
            if self.committing.is_some() || self.halted.is_some() {
                return self.out_of_line().map(Some);
            }
            let Some((message, next)) = message_at(&bytes, self.at) else {
                self.at = bytes.len();
                return Ok(self.flush());
            };
            if message.tag != b'd' {
                if let Some(built) = self.flush() {
                    return Ok(Some(built));
                }
                self.at = next;
                let body = bytes.slice(message.start..next);
                return Ok(Some(Output::Other(message.tag, body)));
            }
            let taken = match self.copy_data(message) {
                Ok(Taken::Yes) => {
                    self.at = next;
                    continue;
                }
                Ok(taken) => taken,
                Err(error) => {
                    self.halted = Some(Halt::Failed(error));
                    continue;
                }
            };
            if !matches!(taken, Taken::FlushFirst | Taken::End) {
                self.at = next;
            }
            match taken {
                Taken::Yes => {}
                Taken::FlushFirst => return Ok(self.flush()),
                Taken::Undefined(definition) => return Ok(Some(Output::Undefined(definition))),
                Taken::Streamed(streamed) => return Ok(Some(Output::Streamed(*streamed))),
                Taken::End => {
                    self.progress_to_the_end();
                    self.halted = Some(Halt::Ended);
                }
                Taken::YesAndEnd => self.halted = Some(Halt::Ended),
                Taken::Again(again) => self.halted = Some(Halt::Again(*again)),
            }
        }
    }

    /// What is not the next message: a commit that waits for the catalog, or the end. Before an
    /// end what is whole is handed on: the next connection starts behind it.
    fn out_of_line(&mut self) -> Result<Output, SequenceError> {
        if let Some(committing) = self.committing.take() {
            return Ok(self.go_on_committing(committing));
        }
        if let Some(built) = self.flush() {
            return Ok(built);
        }
        match self.halted.clone() {
            Some(Halt::Failed(error)) => Err(error),
            Some(Halt::Again(again)) => Ok(Output::Again(again)),
            Some(Halt::Ended) | None => Ok(Output::End),
        }
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
        if let Some(committing) = self.committing.take() {
            self.define_streamed(committing, relation);
            return;
        }
        self.building.last = None;
        let relation = self.known.same_or_new(relation);
        let announced = self.known.announce();
        self.known.insert(relation, announced);
    }

    /// What was built so far, if it says anything.
    fn flush(&mut self) -> Option<Output> {
        if let Some(chunk) = self.flush_chunk() {
            return Some(chunk);
        }
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
        // At the end of a transaction it says that nothing else was in between.
        if wal_end >= self.resume && wal_end > self.told {
            (self.resume, self.told) = (wal_end, wal_end);
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
        let in_block = self.order.in_stream();
        let message = walgate_pgoutput::decode(payload, self.dialect, in_block)?;
        if let Some(taken) = self.before(&message, in_block) {
            return Ok(taken);
        }
        self.order.check(&message)?;
        if in_block {
            return self.in_block(&message, payload);
        }
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
    #[inline]
    fn before(&self, message: &Message<'_>, in_block: bool) -> Option<Taken> {
        if let (
            Some(stop),
            Message::Begin { final_lsn: lsn, .. }
            | Message::StreamCommit {
                commit_lsn: lsn, ..
            }
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
        (full || self.changes_hands(message, in_block)).then_some(Taken::FlushFirst)
    }

    /// Frames with positions and those of one streamed transaction don't mix, and their order is
    /// that of the stream.
    #[inline]
    fn changes_hands(&self, message: &Message<'_>, in_block: bool) -> bool {
        let frames = !self.building.frames.is_empty();
        match (&self.chunk, message) {
            (None, _) if in_block => frames,
            (None, Message::StreamAbort { .. } | Message::StreamCommit { .. }) => {
                frames || self.building.progress.is_some()
            }
            (None, _) => false,
            (Some(chunk), Message::StreamStart { xid, .. }) => chunk.xid != *xid,
            (Some(_), _) => !in_block,
        }
    }
}

/// What became of a message.
enum Taken {
    Yes,
    /// Not yet: hand on what is there and come again.
    FlushFirst,
    Undefined(Box<Definition>),
    /// It is itself what goes on.
    Streamed(Box<Streamed>),
    /// Nothing more of this connection is of use.
    Again(Box<Again>),
    /// Not at all: it lies behind the end.
    End,
    YesAndEnd,
}

#[cfg(test)]
mod history;
#[cfg(test)]
mod history_tests;
#[cfg(test)]
#[path = "../tests/it/spool.rs"]
mod spool;
#[cfg(test)]
mod streaming_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire;
