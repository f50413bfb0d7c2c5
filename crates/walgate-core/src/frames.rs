//! Frames: what the source hands over and the journal keeps.

use std::sync::Arc;

use bytes::Bytes;
use walgate_pgoutput::{Dialect, Lsn, Message, PgMicros, Xid, decode};

use crate::{Position, Relation};

/// What a frame is. Relation, Type and Origin messages are not frames: what they say is in
/// [`Frames::relations`], and they have no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// A transaction begins.
    Begin,
    /// The transaction is whole.
    Commit,
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A deleted row.
    Delete,
    /// One or more tables were truncated.
    Truncate,
    /// A transactional logical message.
    Message,
    /// A non-transactional logical message: a boundary of its own, never inside a transaction
    /// of the stream's.
    Standalone,
}

/// One pgoutput message inside [`Frames::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Insert, update, delete: its definition's place in [`Frames::relations`]. Truncate: where
    /// its tables begin in [`Frames::truncated`]. Otherwise 0.
    pub relation: u16,
    /// Index of the position; for a truncate that of its first table. 0 for a standalone message.
    pub index: u32,
    /// Where the message (without the copy-both header) starts in [`Frames::bytes`].
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
}

/// The transaction that a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// The top-level transaction id.
    pub xid: Xid,
    /// LSN of the commit record: with it positions are made.
    pub commit_lsn: Lsn,
    /// When it was committed.
    pub commit_time: PgMicros,
}

/// A run of frames in the order of the log, with all that is needed to read them.
///
/// Whoever starts to read here needs nothing from before: the definitions that its rows use and
/// the transaction that is open at its start are with it.
///
/// Invariant: every `start + len` lies within `bytes`, every `relation` within its list; the
/// frames decode, and are in legal order. The source guarantees it.
#[derive(Debug, Clone)]
pub struct Frames {
    /// The memory that the frames lie in, as it was read.
    pub bytes: Bytes,
    /// The frames, in order.
    pub frames: Vec<Frame>,
    /// The definitions that the frames use.
    pub relations: Vec<Arc<Relation>>,
    /// The tables of truncates, as places in [`relations`](Self::relations).
    pub truncated: Vec<u16>,
    /// The transaction that is open before the first frame.
    pub open: Option<Transaction>,
    /// The source's epoch, the upper digits of each position.
    pub epoch: u8,
    /// Set when nothing is in flight behind the last frame: everything that was committed below
    /// this LSN has been handed over (a keepalive's `wal_end`).
    pub progress: Option<Lsn>,
    /// Memory that is held while these frames live, in bytes: the whole buffer behind
    /// [`bytes`](Self::bytes), not the slice. Budgets count this.
    pub pinned: usize,
}

impl Frames {
    /// No frames, only the news that everything below `lsn` has been handed over.
    pub fn progress(epoch: u8, lsn: Lsn) -> Self {
        Self {
            bytes: Bytes::new(),
            frames: Vec::new(),
            relations: Vec::new(),
            truncated: Vec::new(),
            open: None,
            epoch,
            progress: Some(lsn),
            pinned: 0,
        }
    }

    /// The bytes of a frame of this run; empty if it is not of this run.
    #[inline]
    pub fn message(&self, frame: &Frame) -> &[u8] {
        let start = frame.start as usize;
        self.bytes
            .get(start..start + frame.len as usize)
            .unwrap_or_default()
    }

    /// The definition of a row's relation.
    #[inline]
    pub fn relation(&self, frame: &Frame) -> Option<&Arc<Relation>> {
        self.relations.get(usize::from(frame.relation))
    }

    /// The transaction that a [`FrameKind::Begin`] begins; none for any other frame.
    pub fn begun(&self, frame: &Frame) -> Option<Transaction> {
        match decode(self.message(frame), Dialect::default(), false) {
            Ok(Message::Begin {
                final_lsn,
                commit_time,
                xid,
            }) => Some(Transaction {
                xid,
                commit_lsn: final_lsn,
                commit_time,
            }),
            _ => None,
        }
    }

    /// Position of the last frame; none when there are no frames.
    pub fn last(&self) -> Option<Position> {
        let last = self.frames.last()?;
        if last.kind == FrameKind::Standalone {
            return match decode(self.message(last), Dialect::default(), false) {
                Ok(Message::Message { lsn, .. }) => Some(Position::new(self.epoch, lsn, 0)),
                _ => None,
            };
        }
        let begin = |frame: &&Frame| frame.kind == FrameKind::Begin;
        let transaction = match self.frames.iter().rev().find(begin) {
            Some(begin) => self.begun(begin)?,
            None => self.open?,
        };
        let tables = match last.kind {
            FrameKind::Truncate => self.tables_of(last).saturating_sub(1),
            _ => 0,
        };
        Some(self.position(&transaction, last.index.saturating_add(tables)))
    }

    /// How many tables a truncate names.
    pub fn tables_of(&self, frame: &Frame) -> u32 {
        match decode(self.message(frame), Dialect::default(), false) {
            Ok(Message::Truncate { relations, .. }) => {
                u32::try_from(relations.len()).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Position of a frame inside `transaction`, at `offset` tables behind its first (truncate).
    #[inline]
    pub fn position(&self, transaction: &Transaction, index: u32) -> Position {
        Position::new(self.epoch, transaction.commit_lsn, index)
    }
}
