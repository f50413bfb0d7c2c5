//! Transactions that are sent after their commit: their messages become frames with positions.

use std::sync::Arc;

use walgate_core::{Frame, FrameKind, Lsn, Oid, Position, Transaction, Xid};
use walgate_pgoutput::{Message, RelationOids};

use crate::definition::Definition;
use crate::sequence_error::SequenceError;
use crate::sequencer::again::Again;
use crate::sequencer::{Halt, Open, Sequencer, Taken};

impl Sequencer {
    /// What is not a row, outside of a stream block.
    pub(super) fn other(
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
                let xid = self.open.take().map(|open| open.transaction.xid);
                self.resume = self.resume.max(end_lsn);
                self.heard.received = self.heard.received.max(end_lsn);
                if let Some(xid) = xid {
                    self.transaction_ended(xid, end_lsn);
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
            Message::StreamStart { .. }
            | Message::StreamAbort { .. }
            | Message::StreamCommit { .. } => return self.about_streams(message),
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
            self.types.clear();
            return Taken::Undefined(Box::new(definition));
        }
        self.types.clear();
        self.define(definition.without_facts());
        Taken::Yes
    }

    /// A transaction has been handed on as a whole. It may be the last, here or at all.
    pub(super) fn transaction_ended(&mut self, xid: Xid, end_lsn: Lsn) {
        if let Some(awaited) = self.awaited.as_mut().filter(|awaited| awaited.xid == xid) {
            awaited.passed = true;
        }
        if self.stop_at.is_some_and(|stop| end_lsn > stop.lsn) {
            self.halted = Some(Halt::Ended);
        } else if self.known.too_many() {
            self.halted = Some(Halt::Again(Again::Forget));
        }
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

    pub(super) fn take_indices(&mut self, count: u32) -> Result<u32, SequenceError> {
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
    pub(super) fn place_of(&mut self, oid: Oid) -> Result<u16, SequenceError> {
        if let Some((last, place)) = self.building.last
            && last == oid
        {
            return Ok(place);
        }
        let relation = self
            .known
            .get(oid)
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
    pub(super) fn push(
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
