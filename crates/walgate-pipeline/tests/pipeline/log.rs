//! A log: transactions as pgoutput sends them, and what an output should be given of it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, ReplicaIdentity, Shape,
    Transaction,
};
use walgate_pgoutput::{Dialect, Message, OldTuple, RelationOidsBuf, TupleBuf, Value};

pub(crate) const TABLES: [&str; 3] = ["a", "b", "c"];

/// One frame of the log.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) kind: FrameKind,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) index: u32,
    pub(crate) relations: Vec<Arc<Relation>>,
    pub(crate) message: Bytes,
    /// Position of the (first) event.
    pub(crate) position: Position,
}

/// What happens in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// Into the table of this place.
    Insert(usize),
    Update(usize),
    Delete(usize),
    /// All tables.
    Truncate,
    Message,
}

impl Row {
    fn message<'a>(
        self,
        relations: &[Arc<Relation>],
        new: &'a TupleBuf,
        old: &'a TupleBuf,
        oids: &'a RelationOidsBuf,
        commit_lsn: Lsn,
    ) -> (FrameKind, Message<'a>) {
        let of = |place: usize| relations[place].oid;
        let xid = None;
        match self {
            Self::Insert(place) => {
                let (relation, new) = (of(place), new.as_tuple());
                (FrameKind::Insert, Message::Insert { xid, relation, new })
            }
            Self::Update(place) => {
                let (relation, old, new) = (of(place), None, new.as_tuple());
                (
                    FrameKind::Update,
                    Message::Update {
                        xid,
                        relation,
                        old,
                        new,
                    },
                )
            }
            Self::Delete(place) => {
                let (relation, old) = (of(place), OldTuple::Key(old.as_tuple()));
                (FrameKind::Delete, Message::Delete { xid, relation, old })
            }
            Self::Truncate => {
                let (cascade, restart_identity) = (true, false);
                let relations = oids.as_relations();
                let truncate = Message::Truncate {
                    xid,
                    cascade,
                    restart_identity,
                    relations,
                };
                (FrameKind::Truncate, truncate)
            }
            Self::Message => {
                let message = Message::Message {
                    xid,
                    transactional: true,
                    lsn: Lsn(commit_lsn.0 - 1),
                    prefix: "p",
                    content: b"transactional",
                };
                (FrameKind::Message, message)
            }
        }
    }
}

/// Something that happens in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    Transaction(Vec<Row>),
    Standalone,
    /// WAL of others.
    Idle,
}

/// What a log holds.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) items: Vec<Item>,
    /// The end of it.
    pub(crate) end: Lsn,
    /// Positions of the log at which nothing is in flight.
    pub(crate) quiet: Vec<Lsn>,
}

pub(crate) fn relation(place: usize) -> Arc<Relation> {
    let column = |name: &str, key| Column {
        name: name.into(),
        type_oid: 25,
        type_name: String::new(),
        typmod: -1,
        key,
        shape: Shape::TEXT,
    };
    Arc::new(Relation {
        oid: 100 + place as u32,
        schema: "public".into(),
        name: TABLES[place].into(),
        identity: ReplicaIdentity::Default,
        columns: vec![column("id", true), column("note", false)],
        primary_key: Vec::new(),
    })
}

pub(crate) fn bytes_of(message: &Message<'_>) -> Bytes {
    let mut bytes = BytesMut::new();
    message
        .encode(Dialect::default(), &mut bytes)
        .expect("encodes");
    bytes.freeze()
}

fn row(id: u32, note: Option<&str>) -> TupleBuf {
    let mut row = TupleBuf::new();
    row.push(Value::Text(id.to_string().as_bytes()))
        .expect("fits");
    row.push(note.map_or(Value::Null, |note| Value::Text(note.as_bytes())))
        .expect("fits");
    row
}

impl Log {
    pub(crate) fn new(start: Lsn, happenings: &[Happening]) -> Self {
        let relations: Vec<_> = (0..TABLES.len()).map(relation).collect();
        let mut log = Self {
            items: Vec::new(),
            end: start,
            quiet: vec![start],
        };
        for (n, happening) in happenings.iter().enumerate() {
            match happening {
                Happening::Idle => log.end = Lsn(log.end.0 + 4096),
                Happening::Standalone => log.standalone(),
                Happening::Transaction(rows) => log.transaction(n as u32 + 700, rows, &relations),
            }
            log.quiet.push(log.end);
        }
        log
    }

    /// The record ends where the next one begins: its LSN is the commit LSN of a transaction that
    /// may follow.
    fn standalone(&mut self) {
        self.end = Lsn(self.end.0 + 64);
        self.items.push(Item {
            kind: FrameKind::Standalone,
            transaction: None,
            index: 0,
            relations: Vec::new(),
            message: bytes_of(&Message::Message {
                xid: None,
                transactional: false,
                lsn: self.end,
                prefix: "p",
                content: b"standalone",
            }),
            position: Position::new(0, self.end, 0),
        });
    }

    fn transaction(&mut self, xid: u32, rows: &[Row], relations: &[Arc<Relation>]) {
        let commit_lsn = self.end;
        let end_lsn = Lsn(commit_lsn.0 + 48);
        let commit_time = PgMicros(i64::from(xid));
        let transaction = Transaction {
            xid,
            commit_lsn,
            commit_time,
        };
        let mut index = Position::BEGIN;
        let mut push = |kind, index, relations: Vec<_>, message: &Message<'_>| {
            self.items.push(Item {
                kind,
                transaction: Some(transaction),
                index,
                relations,
                message: bytes_of(message),
                position: Position::new(0, commit_lsn, index),
            });
        };
        let begin = Message::Begin {
            final_lsn: commit_lsn,
            commit_time,
            xid,
        };
        push(FrameKind::Begin, index, Vec::new(), &begin);
        for change in rows {
            index += 1;
            let (new, old) = (row(index, Some("new")), row(index, None));
            let oids: RelationOidsBuf = relations.iter().map(|r| r.oid).collect();
            let (kind, message) = change.message(relations, &new, &old, &oids, commit_lsn);
            let of = match *change {
                Row::Insert(place) | Row::Update(place) | Row::Delete(place) => {
                    vec![Arc::clone(&relations[place])]
                }
                Row::Truncate => relations.to_vec(),
                Row::Message => Vec::new(),
            };
            let tables = of.len() as u32;
            push(kind, index, of, &message);
            index += tables.saturating_sub(1);
        }
        let commit = Message::Commit {
            flags: 0,
            commit_lsn,
            end_lsn,
            commit_time,
        };
        push(FrameKind::Commit, Position::COMMIT, Vec::new(), &commit);
        self.end = end_lsn;
    }

    /// The first frame that a server sends to whoever has confirmed `confirmed`.
    pub(crate) fn first_behind(&self, confirmed: Lsn) -> usize {
        let is_behind = |item: &Item| match item.transaction {
            Some(transaction) => transaction.commit_lsn >= confirmed,
            None => item.position.lsn() > confirmed,
        };
        self.items
            .iter()
            .position(is_behind)
            .unwrap_or(self.items.len())
    }

    /// Whether nothing is in flight before the frame at this place.
    pub(crate) fn is_boundary(&self, at: usize) -> bool {
        self.items
            .get(at)
            .is_none_or(|item| matches!(item.kind, FrameKind::Begin | FrameKind::Standalone))
    }

    /// The begin of the transaction of the frame before this place, or this place when that
    /// transaction is whole.
    pub(crate) fn begin_before(&self, at: usize) -> usize {
        if self.is_boundary(at) {
            return at;
        }
        (0..at).rev().find(|at| self.is_boundary(*at)).unwrap_or(0)
    }

    /// What was committed up to the frame at this place: what a keepalive could say there.
    pub(crate) fn quiet_before(&self, at: usize) -> Option<Lsn> {
        if !self.is_boundary(at) {
            return None;
        }
        match self.items.get(at) {
            None => Some(self.end),
            Some(next) => {
                // A message's LSN is the end of its record.
                let bound = match next.transaction {
                    Some(transaction) => transaction.commit_lsn,
                    None => Lsn(next.position.lsn().0 - 64),
                };
                self.quiet.iter().rev().find(|lsn| **lsn <= bound).copied()
            }
        }
    }

    /// A run of frames.
    pub(crate) fn run(&self, from: usize, to: usize) -> Frames {
        let mut bytes = BytesMut::new();
        let mut relations: Vec<Arc<Relation>> = Vec::new();
        let mut truncated = Vec::new();
        let mut frames = Vec::new();
        let mut place_of = |relation: &Arc<Relation>| {
            let known = relations
                .iter()
                .position(|known| Arc::ptr_eq(known, relation));
            let place = known.unwrap_or_else(|| {
                relations.push(Arc::clone(relation));
                relations.len() - 1
            });
            place as u16
        };
        for item in &self.items[from..to] {
            let relation = match item.kind {
                FrameKind::Truncate => {
                    let first = truncated.len() as u16;
                    truncated.extend(item.relations.iter().map(&mut place_of));
                    first
                }
                _ => item.relations.first().map_or(0, &mut place_of),
            };
            frames.push(Frame {
                kind: item.kind,
                relation,
                index: item.index,
                start: bytes.len() as u32,
                len: item.message.len() as u32,
            });
            bytes.extend_from_slice(&item.message);
        }
        let first = &self.items[from];
        let open = if self.is_boundary(from) {
            None
        } else {
            first.transaction
        };
        Frames {
            pinned: bytes.len(),
            bytes: bytes.freeze(),
            frames,
            relations,
            truncated,
            open,
            epoch: 0,
            progress: None,
        }
    }
}
