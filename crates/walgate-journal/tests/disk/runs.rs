//! Runs of frames that say what they are: each row holds its own position.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, Scalar, Shape, Transaction,
};
use walgate_pgoutput::{Dialect, Message, ReplicaIdentity};

/// The distance between the commits of these tests; a transaction ends 8 bytes behind its commit.
pub(crate) const STEP: u64 = 0x100;

pub(crate) fn position(lsn: u64, index: u32) -> Position {
    Position::new(0, Lsn(lsn), index)
}

/// The position of a whole transaction's last frame.
pub(crate) fn commit(lsn: u64) -> Position {
    position(lsn, Position::COMMIT)
}

pub(crate) fn relation(oid: u32) -> Arc<Relation> {
    Arc::new(Relation {
        oid,
        schema: "public".to_owned(),
        name: format!("table_{oid}"),
        identity: ReplicaIdentity::Default,
        columns: vec![Column {
            name: "id".to_owned(),
            type_oid: 20,
            type_name: String::new(),
            typmod: -1,
            key: true,
            shape: Shape::Scalar(Scalar::Text),
        }],
        primary_key: Vec::new(),
    })
}

#[derive(Debug)]
pub(crate) struct Builder {
    lsn: u64,
    bytes: BytesMut,
    frames: Vec<Frame>,
    open: bool,
    relation: Arc<Relation>,
}

impl Builder {
    pub(crate) fn new(lsn: u64) -> Self {
        Self {
            lsn,
            bytes: BytesMut::new(),
            frames: Vec::new(),
            open: true,
            relation: relation(1),
        }
    }

    fn transaction(&self) -> Transaction {
        Transaction {
            xid: 7,
            commit_lsn: Lsn(self.lsn),
            commit_time: PgMicros(self.lsn as i64),
        }
    }

    fn frame(&mut self, kind: FrameKind, index: u32, write: impl FnOnce(&mut BytesMut)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.frames.push(Frame {
            kind,
            relation: 0,
            index,
            start: start as u32,
            len: (self.bytes.len() - start) as u32,
        });
    }

    pub(crate) fn begin(mut self) -> Self {
        let transaction = self.transaction();
        self.open = false;
        self.frame(FrameKind::Begin, Position::BEGIN, |bytes| {
            let begin = Message::Begin {
                final_lsn: transaction.commit_lsn,
                commit_time: transaction.commit_time,
                xid: transaction.xid,
            };
            begin.encode(Dialect::default(), bytes).expect("a begin");
        });
        self
    }

    /// Rows of these indexes, each of about `len` bytes that begin with its position.
    pub(crate) fn rows(mut self, indexes: Range<u32>, len: usize) -> Self {
        for index in indexes {
            let lsn = self.lsn;
            self.frame(FrameKind::Insert, index, |bytes| {
                bytes.put_u64(lsn);
                bytes.put_u32(index);
                bytes.put_bytes(index as u8, len);
            });
        }
        self
    }

    pub(crate) fn commit(mut self) -> Self {
        let transaction = self.transaction();
        self.frame(FrameKind::Commit, Position::COMMIT, |bytes| {
            let commit = Message::Commit {
                flags: 0,
                commit_lsn: transaction.commit_lsn,
                end_lsn: Lsn(transaction.commit_lsn.0 + 8),
                commit_time: transaction.commit_time,
            };
            commit.encode(Dialect::default(), bytes).expect("a commit");
        });
        self
    }

    pub(crate) fn frames(self) -> Frames {
        let open = self.open.then(|| self.transaction());
        let bytes = self.bytes.freeze();
        Frames {
            pinned: bytes.len(),
            bytes,
            frames: self.frames,
            relations: vec![self.relation],
            truncated: Vec::new(),
            open,
            epoch: 0,
            progress: None,
        }
    }
}

/// A whole transaction of so many rows.
pub(crate) fn whole(lsn: u64, rows: u32, len: usize) -> Frames {
    Builder::new(lsn)
        .begin()
        .rows(2..2 + rows, len)
        .commit()
        .frames()
}

/// A part from within a transaction.
pub(crate) fn part(lsn: u64, indexes: Range<u32>, len: usize) -> Frames {
    Builder::new(lsn).rows(indexes, len).frames()
}

/// The positions of the rows of a run, as its bytes have them. They have to be those that its frames have.
pub(crate) fn rows(frames: &Frames) -> Vec<Position> {
    let mut rows = Vec::new();
    for frame in &frames.frames {
        if frame.kind != FrameKind::Insert {
            continue;
        }
        let message = frames.message(frame);
        let (lsn, rest) = message.split_first_chunk::<8>().expect("an LSN");
        let (index, rest) = rest.split_first_chunk::<4>().expect("an index");
        let index = u32::from_be_bytes(*index);
        assert_eq!(frame.index, index, "the frame is the row's");
        assert!(rest.iter().all(|byte| *byte == index as u8), "its bytes");
        assert!(frames.relation(frame).is_some(), "its definition");
        rows.push(position(u64::from_be_bytes(*lsn), index));
    }
    rows
}
