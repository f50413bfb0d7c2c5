//! Runs of frames whose content does not matter.

use std::ops::Range;

use bytes::Bytes;
use walgate_core::{Frame, FrameKind, Frames, Lsn, PgMicros, Position, Transaction};

pub(crate) fn position(lsn: u64, index: u32) -> Position {
    Position::new(0, Lsn(lsn), index)
}

/// Inserts of the transaction that commits at `lsn`.
pub(crate) fn run(lsn: u64, indexes: Range<u32>, pinned: usize) -> Frames {
    let frames = indexes.map(|index| Frame {
        kind: FrameKind::Insert,
        relation: 0,
        index,
        start: 0,
        len: 0,
    });
    Frames {
        bytes: Bytes::new(),
        frames: frames.collect(),
        relations: Vec::new(),
        truncated: Vec::new(),
        open: Some(Transaction {
            xid: 1,
            commit_lsn: Lsn(lsn),
            commit_time: PgMicros(0),
        }),
        epoch: 0,
        progress: None,
        pinned,
    }
}
