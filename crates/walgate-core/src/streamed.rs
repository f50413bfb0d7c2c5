//! Transactions that are sent while they run.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use walgate_pgoutput::{Dialect, Lsn, Message, Xid, decode};

use crate::{FrameKind, Relation, Transaction};

/// News of a top-level transaction that the server sends while it runs.
///
/// Whoever takes them keeps one spool for each [`xid`](Self::xid): it grows by each
/// [`Chunk`](Self::Chunk), is cut by [`AbortSub`](Self::AbortSub), and is dropped by
/// [`Abort`](Self::Abort) or [`DiscardAll`](Self::DiscardAll). At [`Commit`](Self::Commit) it
/// becomes an ordinary transaction of the log: the Begin of
/// [`Transaction::begin_message`], the spool's messages, the Commit of
/// [`Transaction::commit_message`]. Only then it has positions: `begin` is 1, each frame then takes
/// [`StreamedFrames::indices_of`], exactly as without streaming.
///
/// Nothing of this is progress: what may be confirmed moves by the commit's `end_lsn`, and an open
/// streamed transaction holds nothing back, because the server sends it again from its beginning
/// when its commit was not confirmed.
#[derive(Debug, Clone)]
pub enum Streamed {
    /// More of a transaction.
    Chunk {
        /// The top-level transaction.
        xid: Xid,
        /// What came, in order.
        frames: StreamedFrames,
    },
    /// A sub-transaction was rolled back: its first frame and everything behind it never
    /// happened. Not sent where that is nothing.
    AbortSub {
        /// The top-level transaction.
        xid: Xid,
        /// The sub-transaction.
        sub: Xid,
        /// How many frames of the transaction stay, counted over all its chunks.
        keep: u64,
    },
    /// The transaction was rolled back, or nothing of it is left at its commit.
    Abort {
        /// The top-level transaction.
        xid: Xid,
    },
    /// The transaction has committed, behind everything that was handed over as committed before.
    Commit {
        /// The top-level transaction, and its place in the log.
        transaction: Transaction,
        /// The first byte behind its commit record: what may be confirmed once it is safe.
        end_lsn: Lsn,
        /// The source's epoch, for the positions.
        epoch: u8,
        /// How many frames its spool holds; at least one.
        frames: u64,
        /// The definitions, with the facts of the catalog, by the numbers in the frames. One that
        /// is not used by any frame that is left may lack its facts.
        relations: Vec<Arc<Relation>>,
    },
    /// The connection is gone: every spool is void, and what of it was not rolled back comes again.
    DiscardAll,
}

impl Streamed {
    /// The top-level transaction; none for [`DiscardAll`](Self::DiscardAll).
    pub const fn xid(&self) -> Option<Xid> {
        match self {
            Self::Chunk { xid, .. } | Self::AbortSub { xid, .. } | Self::Abort { xid } => {
                Some(*xid)
            }
            Self::Commit { transaction, .. } => Some(transaction.xid),
            Self::DiscardAll => None,
        }
    }
}

/// A message of a transaction that runs, without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamedFrame {
    /// What it is: a row, a truncate or a transactional message.
    pub kind: FrameKind,
    /// Insert, update, delete: the number of its definition within the transaction. Truncate:
    /// where its tables begin in [`StreamedFrames::truncated`]. Otherwise 0.
    pub relation: u32,
    /// Where the message starts in [`StreamedFrames::bytes`].
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
    /// The sub-transaction that wrote it, or the top-level transaction. Of a logical message
    /// always the latter: the stream does not tell who wrote it.
    pub sub: Xid,
}

/// A run of frames of one transaction that runs.
///
/// Invariant: every `start + len` lies within `bytes`; the frames decode as outside of a stream,
/// and rows have as many columns as their definition. The source guarantees it.
#[derive(Debug, Clone, Default)]
pub struct StreamedFrames {
    /// The messages in the form that they have without streaming: the transaction id behind the
    /// tag is taken out.
    pub bytes: Bytes,
    /// The frames, in order.
    pub frames: Vec<StreamedFrame>,
    /// The tables of truncates, as numbers of definitions within the transaction.
    pub truncated: Vec<u32>,
    /// Memory that is held while these frames live, in bytes.
    pub pinned: usize,
}

impl StreamedFrames {
    /// The bytes of a frame of this run; empty if it is not of this run.
    #[inline]
    pub fn message(&self, frame: &StreamedFrame) -> &[u8] {
        let start = frame.start as usize;
        self.bytes
            .get(start..start + frame.len as usize)
            .unwrap_or_default()
    }

    /// The definitions of a truncate's tables, as numbers; empty for any other frame.
    pub fn tables_of(&self, frame: &StreamedFrame) -> &[u32] {
        if frame.kind != FrameKind::Truncate {
            return &[];
        }
        let tables = match decode(self.message(frame), Dialect::default(), false) {
            Ok(Message::Truncate { relations, .. }) => relations.len(),
            _ => 0,
        };
        let first = frame.relation as usize;
        self.truncated
            .get(first..first.saturating_add(tables))
            .unwrap_or_default()
    }

    /// How many indices of its transaction a frame takes: one for each table of a truncate,
    /// otherwise one.
    pub fn indices_of(&self, frame: &StreamedFrame) -> u32 {
        match frame.kind {
            FrameKind::Truncate => u32::try_from(self.tables_of(frame).len()).unwrap_or(u32::MAX),
            _ => 1,
        }
    }
}

impl Transaction {
    /// The Begin message that the server sends for this transaction without streaming.
    pub fn begin_message(&self) -> Bytes {
        message(&Message::Begin {
            final_lsn: self.commit_lsn,
            commit_time: self.commit_time,
            xid: self.xid,
        })
    }

    /// The Commit message that the server sends for this transaction without streaming; `end_lsn`
    /// is the first byte behind its commit record.
    pub fn commit_message(&self, end_lsn: Lsn) -> Bytes {
        message(&Message::Commit {
            flags: 0,
            commit_lsn: self.commit_lsn,
            end_lsn,
            commit_time: self.commit_time,
        })
    }
}

/// A message of fixed length: encoding it can't fail.
fn message(message: &Message<'_>) -> Bytes {
    // The longer of the two has 26 bytes.
    let mut bytes = BytesMut::with_capacity(26);
    let encoded = message.encode(Dialect::default(), &mut bytes);
    debug_assert!(encoded.is_ok(), "neither strings nor lengths");
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use walgate_pgoutput::PgMicros;

    use super::*;

    #[test]
    fn begin_and_commit_are_what_the_server_sends() {
        let transaction = Transaction {
            xid: 0x0102_0304,
            commit_lsn: Lsn(0x1122_3344_5566_7788),
            commit_time: PgMicros(9),
        };
        assert_eq!(
            &transaction.begin_message()[..],
            b"B\x11\x22\x33\x44\x55\x66\x77\x88\0\0\0\0\0\0\0\x09\x01\x02\x03\x04"
        );
        assert_eq!(
            &transaction.commit_message(Lsn(0xFF))[..],
            b"C\0\x11\x22\x33\x44\x55\x66\x77\x88\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0\x09"
        );
    }
}
