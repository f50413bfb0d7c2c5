//! Transactions that are sent while they run: their messages become chunks without positions.

use std::sync::Arc;

use bytes::Bytes;
use walgate_core::{
    FrameKind, Frames, Lsn, Oid, Relation, Streamed, StreamedFrame, StreamedFrames, Transaction,
    Xid,
};
use walgate_pgoutput::{Message, RelationOids};

use crate::sequence_error::SequenceError;
use crate::sequencer::again::{Again, Unstream};
use crate::sequencer::stream::{Committed, Stream};
use crate::sequencer::{Output, Sequencer, Taken};

/// Bytes of the transaction id behind the tag of each message in a stream block.
const PREFIX: usize = size_of::<Xid>();
/// The first memory of a chunk; a server that streams at its smallest `logical_decoding_work_mem`
/// sends blocks of this size.
const FIRST_ROOM: usize = 64 << 10;

/// The chunk that is being built.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) xid: Xid,
    bytes: Vec<u8>,
    frames: Vec<StreamedFrame>,
    truncated: Vec<u32>,
}

/// A streamed transaction that has committed, while the catalog is asked about its definitions.
#[derive(Debug)]
pub(super) struct Committing {
    stream: Stream,
    transaction: Transaction,
    end_lsn: Lsn,
    relations: Vec<Arc<Relation>>,
}

impl Sequencer {
    /// A message of a stream block.
    pub(super) fn in_block(
        &mut self,
        message: &Message<'_>,
        payload: &[u8],
    ) -> Result<Taken, SequenceError> {
        if let (Some(writer), Some(stream)) = (message.stream_xid(), self.streams.block()) {
            stream.written_by(writer);
        }
        match *message {
            Message::Insert { relation, .. } => {
                self.streamed_row(FrameKind::Insert, relation, message, payload)
            }
            Message::Update { relation, .. } => {
                self.streamed_row(FrameKind::Update, relation, message, payload)
            }
            Message::Delete { relation, .. } => {
                self.streamed_row(FrameKind::Delete, relation, message, payload)
            }
            Message::Truncate { relations, .. } => {
                let first = self.streamed_tables(relations)?;
                self.add(FrameKind::Truncate, first, message, payload)
            }
            Message::Message {
                transactional: true,
                ..
            } => self.add(FrameKind::Message, 0, message, payload),
            Message::Relation(relation) => {
                let announced = self.known.announce();
                if let Some(stream) = self.streams.block() {
                    let definition = self.types.definition(&relation, Some(stream.xid));
                    stream.announce(definition, announced);
                }
                self.types.clear();
                Ok(self.unless_too_large())
            }
            Message::Type {
                oid,
                namespace,
                name,
                ..
            } => {
                self.types.insert(oid, namespace, name);
                Ok(Taken::Yes)
            }
            Message::Origin { .. } => Ok(Taken::Yes),
            Message::StreamStop => {
                self.streams.stop();
                Ok(Taken::Yes)
            }
            _ => Err(SequenceError::NotAskedFor(message.tag())),
        }
    }

    /// A message about a streamed transaction, outside of its blocks.
    pub(super) fn about_streams(&mut self, message: &Message<'_>) -> Result<Taken, SequenceError> {
        match *message {
            Message::StreamStart { xid, .. } => {
                self.streams.start(xid);
                Ok(Taken::Yes)
            }
            Message::StreamAbort { xid, subxid, .. } if xid == subxid => {
                let handed = self.streams.take(xid).is_some_and(|stream| stream.handed);
                Ok(if handed {
                    Taken::Streamed(Box::new(Streamed::Abort { xid }))
                } else {
                    Taken::Yes
                })
            }
            Message::StreamAbort { xid, subxid, .. } => {
                Ok(match self.streams.abort_sub(xid, subxid) {
                    Ok(Some(keep)) => {
                        let sub = subxid;
                        Taken::Streamed(Box::new(Streamed::AbortSub { xid, sub, keep }))
                    }
                    Ok(None) => Taken::Yes,
                    Err(unstream) => Taken::Again(Box::new(Again::Unstream(unstream))),
                })
            }
            Message::StreamCommit {
                xid,
                commit_lsn,
                end_lsn,
                commit_time,
                ..
            } => {
                let stream = self.streams.take(xid).unwrap_or_else(|| Stream::new(xid));
                let transaction = Transaction {
                    xid,
                    commit_lsn,
                    commit_time,
                };
                self.committing = Some(Box::new(Committing {
                    stream,
                    transaction,
                    end_lsn,
                    relations: Vec::new(),
                }));
                Ok(Taken::Yes)
            }
            _ => Err(SequenceError::NotAskedFor(message.tag())),
        }
    }

    #[inline]
    fn streamed_row(
        &mut self,
        kind: FrameKind,
        oid: Oid,
        message: &Message<'_>,
        payload: &[u8],
    ) -> Result<Taken, SequenceError> {
        let number = self.number_of(oid)?;
        self.add(kind, number, message, payload)
    }

    #[inline]
    fn number_of(&mut self, oid: Oid) -> Result<u32, SequenceError> {
        let Self { streams, known, .. } = self;
        let stream = streams.block().ok_or(SequenceError::NoTransaction)?;
        stream
            .number_of(oid, || known.get(oid))
            .ok_or(SequenceError::UnknownRelation(oid))
    }

    fn streamed_tables(&mut self, oids: RelationOids<'_>) -> Result<u32, SequenceError> {
        let first = self.chunk()?.truncated.len();
        let first = u32::try_from(first).map_err(|_| SequenceError::TooManyTables)?;
        for oid in oids {
            let number = self.number_of(oid)?;
            self.chunk()?.truncated.push(number);
        }
        Ok(first)
    }

    /// The chunk of the open block.
    #[inline]
    fn chunk(&mut self) -> Result<&mut Chunk, SequenceError> {
        let xid = self
            .streams
            .block_xid()
            .ok_or(SequenceError::NoTransaction)?;
        let rest = self.run.bytes.len().saturating_sub(self.at);
        Ok(self
            .chunk
            .get_or_insert_with(|| Box::new(Chunk::new(xid, rest.min(FIRST_ROOM)))))
    }

    /// Adds a message without its prefix.
    #[inline]
    fn add(
        &mut self,
        kind: FrameKind,
        relation: u32,
        message: &Message<'_>,
        payload: &[u8],
    ) -> Result<Taken, SequenceError> {
        let (Some(tag), Some(body)) = (payload.get(..1), payload.get(1 + PREFIX..)) else {
            return Err(SequenceError::NoTransaction);
        };
        let sub = message.stream_xid().unwrap_or_default();
        let chunk = self.chunk()?;
        let len = tag.len() + body.len();
        let (Ok(start), Ok(short)) = (u32::try_from(chunk.bytes.len()), u32::try_from(len)) else {
            return Err(SequenceError::RunTooLong);
        };
        chunk.bytes.extend_from_slice(tag);
        chunk.bytes.extend_from_slice(body);
        chunk.frames.push(StreamedFrame {
            kind,
            relation,
            start,
            len: short,
            sub,
        });
        if let Some(stream) = self.streams.block() {
            // Whose it is, nobody knows.
            let astray = kind == FrameKind::Message && sub == stream.xid;
            stream.add(len, astray);
        }
        Ok(self.unless_too_large())
    }

    #[inline]
    fn unless_too_large(&mut self) -> Taken {
        match self.streams.too_large() {
            None => Taken::Yes,
            Some(unstream) => {
                // It will be discarded with all the others.
                self.chunk = None;
                Taken::Again(Box::new(Again::Unstream(unstream)))
            }
        }
    }

    /// Whoever keeps a transaction has no room for it.
    pub(crate) fn no_room(&self, xid: Xid, why: String) -> Unstream {
        self.streams.no_room(xid, why)
    }

    /// The chunk that was built so far.
    pub(super) fn flush_chunk(&mut self) -> Option<Output> {
        let chunk = *self.chunk.take()?;
        self.streams.handed(chunk.xid);
        let pinned = chunk.bytes.capacity();
        Some(Output::Streamed(Streamed::Chunk {
            xid: chunk.xid,
            frames: StreamedFrames {
                bytes: Bytes::from(chunk.bytes),
                frames: chunk.frames,
                truncated: chunk.truncated,
                pinned,
            },
        }))
    }

    /// The next step of a commit: a definition to ask about, or what is handed on.
    pub(super) fn go_on_committing(&mut self, mut committing: Box<Committing>) -> Output {
        loop {
            let number = committing.relations.len();
            let relation = match committing.stream.committed(number) {
                Some(Committed::Ask(definition)) => {
                    self.committing = Some(committing);
                    return Output::Undefined(definition);
                }
                Some(Committed::Whole(relation)) => self.known.same_or_new(*relation),
                Some(Committed::Known(relation)) => relation,
                None => break,
            };
            committing.relations.push(relation);
        }
        self.committed(*committing)
    }

    /// The catalog has answered about a definition of the transaction that commits.
    pub(super) fn define_streamed(&mut self, mut committing: Box<Committing>, relation: Relation) {
        let relation = self.known.same_or_new(relation);
        committing.relations.push(relation);
        self.committing = Some(committing);
    }

    fn committed(&mut self, committing: Committing) -> Output {
        let Committing {
            stream,
            transaction,
            end_lsn,
            relations,
        } = committing;
        for (number, announced) in stream.current() {
            if let Some(relation) = relations.get(number) {
                self.known.insert(Arc::clone(relation), announced);
            }
        }
        self.building.last = None;
        self.resume = self.resume.max(end_lsn);
        self.heard.received = self.heard.received.max(end_lsn);
        self.transaction_ended(transaction.xid, end_lsn);
        if stream.frames > 0 {
            return Output::Streamed(Streamed::Commit {
                transaction,
                end_lsn,
                epoch: self.epoch,
                frames: stream.frames,
                relations,
            });
        }
        // Without streaming nothing would have come either, and 14's empty Begin and Commit are
        // nothing to anybody.
        self.building.progress = Some(end_lsn);
        if stream.handed {
            let xid = transaction.xid;
            return Output::Streamed(Streamed::Abort { xid });
        }
        self.building.progress = None;
        Output::Frames(Frames::progress(self.epoch, end_lsn))
    }
}

impl Chunk {
    fn new(xid: Xid, room: usize) -> Self {
        Self {
            xid,
            bytes: Vec::with_capacity(room),
            frames: Vec::new(),
            truncated: Vec::new(),
        }
    }
}
