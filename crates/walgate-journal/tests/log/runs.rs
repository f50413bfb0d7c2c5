//! Runs of frames whose rows say where they stand.

use std::ops::Range;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, Shape, Transaction,
};
use walgate_pgoutput::{Dialect, Message, ReplicaIdentity};

/// A commit record's length: where the transaction ends.
pub(crate) const COMMIT_BYTES: u64 = 8;

pub(crate) fn at(lsn: u64, index: u32) -> Position {
    Position::new(0, Lsn(lsn), index)
}

/// The last position of a transaction.
pub(crate) fn commit(lsn: u64) -> Position {
    at(lsn, Position::COMMIT)
}

pub(crate) fn relation(oid: u32) -> Arc<Relation> {
    Arc::new(Relation {
        oid,
        schema: "public".to_owned(),
        name: format!("t{oid}"),
        identity: ReplicaIdentity::Default,
        columns: vec![Column {
            name: "id".to_owned(),
            type_oid: 20,
            type_name: String::new(),
            typmod: -1,
            key: true,
            shape: Shape::TEXT,
        }],
        primary_key: Vec::new(),
    })
}

/// A part of the transaction that commits at `lsn`, at time `time`: whether it begins, its rows,
/// whether it ends.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) lsn: u64,
    pub(crate) time: i64,
    pub(crate) begins: bool,
    pub(crate) rows: Range<u32>,
    pub(crate) row_bytes: usize,
    pub(crate) ends: bool,
    pub(crate) relation: u32,
}

/// A whole transaction with two rows.
pub(crate) fn whole(lsn: u64) -> Part {
    Part {
        lsn,
        time: lsn as i64,
        begins: true,
        rows: 2..4,
        row_bytes: 50,
        ends: true,
        relation: 1,
    }
}

impl Part {
    pub(crate) fn bytes(mut self, row_bytes: usize) -> Self {
        self.row_bytes = row_bytes;
        self
    }

    pub(crate) fn time(mut self, time: i64) -> Self {
        self.time = time;
        self
    }

    pub(crate) fn of(mut self, relation: u32) -> Self {
        self.relation = relation;
        self
    }

    /// Only the begin and these rows.
    pub(crate) fn cut(mut self, rows: Range<u32>) -> Self {
        self.rows = rows;
        self.ends = false;
        self
    }

    /// Only these rows and the commit.
    pub(crate) fn rest(mut self, rows: Range<u32>) -> Self {
        self.rows = rows;
        self.begins = false;
        self
    }

    /// Without the commit.
    pub(crate) fn part(mut self) -> Self {
        self.ends = false;
        self
    }

    pub(crate) fn frames(&self) -> Frames {
        run(std::slice::from_ref(self))
    }
}

/// The parts as one run.
pub(crate) fn run(parts: &[Part]) -> Frames {
    let mut bytes = BytesMut::new();
    let mut frames = Vec::new();
    let mut relations: Vec<Arc<Relation>> = Vec::new();
    let mut push = |bytes: &mut BytesMut, start: usize, kind, relation, index| {
        frames.push(Frame {
            kind,
            relation,
            index,
            start: start as u32,
            len: (bytes.len() - start) as u32,
        });
    };
    for part in parts {
        let (commit_lsn, commit_time) = (Lsn(part.lsn), PgMicros(part.time));
        if part.begins {
            let start = bytes.len();
            let begin = Message::Begin {
                final_lsn: commit_lsn,
                commit_time,
                xid: 7,
            };
            begin
                .encode(Dialect::default(), &mut bytes)
                .expect("a begin");
            push(&mut bytes, start, FrameKind::Begin, 0, Position::BEGIN);
        }
        relations.push(relation(part.relation));
        let place = relations.len() as u16 - 1;
        for index in part.rows.clone() {
            let start = bytes.len();
            bytes.put_u64(part.lsn);
            bytes.put_u32(index);
            bytes.put_bytes(index as u8, part.row_bytes);
            push(&mut bytes, start, FrameKind::Insert, place, index);
        }
        if part.ends {
            let start = bytes.len();
            let end = Message::Commit {
                flags: 0,
                commit_lsn,
                end_lsn: Lsn(part.lsn + COMMIT_BYTES),
                commit_time,
            };
            end.encode(Dialect::default(), &mut bytes)
                .expect("a commit");
            push(&mut bytes, start, FrameKind::Commit, 0, Position::COMMIT);
        }
    }
    let open = parts.first().filter(|first| !first.begins);
    Frames {
        pinned: bytes.len(),
        bytes: bytes.freeze(),
        frames,
        relations,
        truncated: Vec::new(),
        open: open.map(|first| Transaction {
            xid: 7,
            commit_lsn: Lsn(first.lsn),
            commit_time: PgMicros(first.time),
        }),
        epoch: 0,
        progress: None,
    }
}

/// The rows of a run in short: `lsn.index` each, read off their bytes.
pub(crate) fn rows(frames: &Frames) -> Vec<String> {
    frames
        .frames
        .iter()
        .filter(|frame| frame.kind == FrameKind::Insert)
        .map(|frame| {
            let message = frames.message(frame);
            let (lsn, rest) = message.split_first_chunk::<8>().expect("an LSN");
            let (index, rest) = rest.split_first_chunk::<4>().expect("an index");
            let (lsn, index) = (u64::from_be_bytes(*lsn), u32::from_be_bytes(*index));
            assert!(rest.iter().all(|byte| *byte == index as u8), "its bytes");
            assert!(frames.relation(frame).is_some(), "its definition");
            format!("{lsn}.{index}")
        })
        .collect()
}
