//! The least that a reader of streamed transactions has to do: one list of messages for each.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use walgate_core::{
    Frame, FrameKind, Frames, Lsn, Position, Relation, Streamed, StreamedFrame, StreamedFrames,
    Transaction, Xid,
};

/// A message of a transaction that runs.
struct Spooled {
    frame: StreamedFrame,
    message: Bytes,
    tables: Vec<u32>,
    indices: u32,
}

/// One spool for each transaction that runs.
#[derive(Default)]
pub(crate) struct Spools(HashMap<Xid, Vec<Spooled>>);

impl Spools {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes the news of a transaction; at its commit it becomes an ordinary one.
    pub(crate) fn take(&mut self, streamed: Streamed) -> Option<Frames> {
        match streamed {
            Streamed::Chunk { xid, frames } => {
                assert!(!frames.frames.is_empty(), "an empty chunk");
                assert!(frames.pinned >= frames.bytes.len());
                let spool = self.0.entry(xid).or_default();
                spool.extend(frames.frames.iter().map(|frame| spooled(&frames, frame)));
            }
            Streamed::AbortSub { xid, sub, keep } => {
                let spool = self.0.get_mut(&xid).expect("a spool to cut");
                let keep = usize::try_from(keep).expect("few");
                assert!(keep < spool.len(), "it would cut nothing");
                let first = spool.iter().position(|spooled| spooled.frame.sub == sub);
                assert!(
                    first.is_none_or(|first| first == keep),
                    "it cuts at the first frame"
                );
                spool.truncate(keep);
            }
            Streamed::Abort { xid } => {
                self.0
                    .remove(&xid)
                    .expect("only what was handed on is aborted");
            }
            Streamed::Commit {
                transaction,
                end_lsn,
                epoch,
                frames,
                relations,
            } => {
                let spool = self
                    .0
                    .remove(&transaction.xid)
                    .expect("a spool to take over");
                assert_eq!(spool.len() as u64, frames);
                assert!(frames > 0, "a transaction without changes is none");
                return Some(whole(transaction, end_lsn, epoch, &spool, relations));
            }
            Streamed::DiscardAll => self.0.clear(),
        }
        None
    }
}

/// An ordinary transaction, in one run.
fn whole(
    transaction: Transaction,
    end_lsn: Lsn,
    epoch: u8,
    spool: &[Spooled],
    relations: Vec<Arc<Relation>>,
) -> Frames {
    let mut whole = Whole::default();
    let begin = transaction.begin_message();
    whole.add(FrameKind::Begin, 0, Position::BEGIN, &begin);
    let mut index = Position::BEGIN + 1;
    for spooled in spool {
        let relation = if spooled.frame.kind == FrameKind::Truncate {
            let first = u16::try_from(whole.truncated.len()).expect("few");
            let tables = spooled.tables.iter();
            whole
                .truncated
                .extend(tables.map(|table| u16::try_from(*table).expect("few")));
            first
        } else {
            u16::try_from(spooled.frame.relation).expect("few")
        };
        whole.add(spooled.frame.kind, relation, index, &spooled.message);
        index += spooled.indices;
    }
    let end = transaction.commit_message(end_lsn);
    whole.add(FrameKind::Commit, 0, Position::COMMIT, &end);
    let pinned = whole.bytes.len();
    Frames {
        bytes: whole.bytes.freeze(),
        frames: whole.frames,
        relations,
        truncated: whole.truncated,
        open: None,
        epoch,
        progress: None,
        pinned,
    }
}

fn spooled(frames: &StreamedFrames, frame: &StreamedFrame) -> Spooled {
    Spooled {
        frame: *frame,
        message: Bytes::copy_from_slice(frames.message(frame)),
        tables: frames.tables_of(frame).to_vec(),
        indices: frames.indices_of(frame),
    }
}

#[derive(Default)]
struct Whole {
    bytes: BytesMut,
    frames: Vec<Frame>,
    truncated: Vec<u16>,
}

impl Whole {
    fn add(&mut self, kind: FrameKind, relation: u16, index: u32, message: &[u8]) {
        self.frames.push(Frame {
            kind,
            relation,
            index,
            start: u32::try_from(self.bytes.len()).expect("short"),
            len: u32::try_from(message.len()).expect("short"),
        });
        self.bytes.extend_from_slice(message);
    }
}
