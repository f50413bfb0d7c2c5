//! The source: a log of commits without end, which follows from a seed, and sessions that send it.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use walgate_core::{
    Column, Frame, FrameKind, Frames, Lsn, PgMicros, Position, Relation, Scalar, Shape, Transaction,
};
use walgate_pgoutput::{Dialect, Message, RelationOidsBuf, ReplicaIdentity};

pub(crate) const EPOCH: u8 = 0;
/// Where the slot was made.
pub(crate) const START: Lsn = Lsn(0x1000);

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) kind: FrameKind,
    index: u32,
    /// How many positions it takes: the tables of a truncate.
    tables: u32,
    pub(crate) relations: Vec<Arc<Relation>>,
    pub(crate) bytes: Bytes,
}

/// A transaction as it is streamed.
#[derive(Debug)]
pub(crate) struct StreamedCommit {
    pub(crate) transaction: Transaction,
    pub(crate) whole: Lsn,
    /// Between Begin and Commit.
    pub(crate) changes: Vec<Change>,
}

/// What is sent as one: a transaction, or a message outside of all.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Of the commit record; of the message.
    pub(crate) lsn: Lsn,
    /// What may be confirmed when it is safe.
    pub(crate) whole: Lsn,
    transaction: Option<Transaction>,
    changes: Vec<Change>,
}

/// What the server's log holds.
#[derive(Debug)]
pub(crate) struct Server {
    random: Rng,
    commits: Vec<Commit>,
    relations: Vec<Arc<Relation>>,
    /// How large rows and transactions are, so that each seed has a character.
    row_bytes: usize,
    rows: usize,
}

fn relation(oid: u32, version: u32) -> Arc<Relation> {
    let column = |name: String| Column {
        name,
        type_oid: 25,
        type_name: String::new(),
        typmod: -1,
        key: true,
        shape: Shape::Scalar(Scalar::Text),
    };
    Arc::new(Relation {
        oid,
        schema: "public".to_owned(),
        name: format!("table_{oid}"),
        identity: ReplicaIdentity::Default,
        columns: (0..=version)
            .map(|n| column(format!("column_{n}")))
            .collect(),
        primary_key: Vec::new(),
    })
}

fn encoded(message: &Message<'_>) -> Bytes {
    let mut bytes = BytesMut::new();
    message
        .encode(Dialect::default(), &mut bytes)
        .expect("a message");
    bytes.freeze()
}

impl Server {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let shapes = [(10, 3), (10, 40), (100, 3), (100, 10), (1000, 2), (1000, 6)];
        let (row_bytes, rows) = *random.choice(&shapes).expect("not empty");
        Self {
            random,
            commits: Vec::new(),
            relations: (1..=3).map(|oid| relation(oid, 0)).collect(),
            row_bytes,
            rows,
        }
    }

    /// The commit of this number.
    pub(crate) fn commit(&mut self, number: usize) -> &Commit {
        while self.commits.len() <= number {
            let next = self.next_commit();
            self.commits.push(next);
        }
        self.commits.get(number).expect("just made")
    }

    /// The definition of a table as it is now.
    pub(crate) fn relation(&self, place: usize) -> &Arc<Relation> {
        self.relations.get(place).expect("a relation")
    }

    fn next_commit(&mut self) -> Commit {
        let before = self.commits.last().map_or(START, |last| last.whole);
        let lsn = Lsn(before.0 + 8 * self.random.u64(1..20));
        if self.random.u8(0..12) == 0 {
            return self.standalone(lsn);
        }
        let transaction = Transaction {
            xid: 700 + self.commits.len() as u32,
            commit_lsn: lsn,
            commit_time: PgMicros(1_000_000 * self.commits.len() as i64),
        };
        let whole = Lsn(lsn.0 + 8 * self.random.u64(1..6));
        let rows = match self.random.u8(0..20) {
            0 => 0,
            1 => self.rows * 20,
            _ => self.random.usize(1..=self.rows),
        };
        let mut changes = Vec::with_capacity(rows + 2);
        let mut index = Position::BEGIN;
        let begin = Message::Begin {
            final_lsn: lsn,
            commit_time: transaction.commit_time,
            xid: transaction.xid,
        };
        changes.push(boundary(FrameKind::Begin, index, &begin));
        for _ in 0..rows {
            index += 1;
            let change = self.change(index);
            index += change.tables - 1;
            changes.push(change);
        }
        let commit = Message::Commit {
            flags: 0,
            commit_lsn: lsn,
            end_lsn: whole,
            commit_time: transaction.commit_time,
        };
        changes.push(boundary(FrameKind::Commit, Position::COMMIT, &commit));
        Commit {
            lsn,
            whole,
            transaction: Some(transaction),
            changes,
        }
    }

    fn standalone(&mut self, lsn: Lsn) -> Commit {
        let message = Message::Message {
            xid: None,
            transactional: false,
            lsn,
            prefix: "model",
            content: &lsn.0.to_le_bytes(),
        };
        Commit {
            lsn,
            whole: lsn,
            transaction: None,
            changes: vec![boundary(FrameKind::Standalone, 0, &message)],
        }
    }

    fn change(&mut self, index: u32) -> Change {
        let place = self.random.usize(0..self.relations.len());
        if self.random.u8(0..60) == 0 {
            let table = self.relations.get_mut(place).expect("a relation");
            *table = relation(table.oid, self.random.u32(0..4));
        }
        if self.random.u8(0..30) == 0 {
            let tables = self.random.usize(1..=self.relations.len());
            let relations = self.relations.get(..tables).expect("relations").to_vec();
            let oids: Vec<_> = relations.iter().map(|relation| relation.oid).collect();
            return self.truncate(index, relations, &oids);
        }
        let kinds = [FrameKind::Insert, FrameKind::Update, FrameKind::Delete];
        let kind = *self.random.choice(&kinds).expect("not empty");
        // The journal looks into no row.
        let len = self.random.usize(1..=self.row_bytes);
        let mut bytes = BytesMut::zeroed(len);
        self.random.fill(&mut bytes);
        Change {
            kind,
            index,
            tables: 1,
            relations: vec![Arc::clone(self.relations.get(place).expect("a relation"))],
            bytes: bytes.freeze(),
        }
    }

    fn truncate(&self, index: u32, relations: Vec<Arc<Relation>>, oids: &[u32]) -> Change {
        let buf: RelationOidsBuf = oids.iter().copied().collect();
        let message = Message::Truncate {
            xid: None,
            cascade: false,
            restart_identity: false,
            relations: buf.as_relations(),
        };
        Change {
            kind: FrameKind::Truncate,
            index,
            tables: relations.len() as u32,
            relations,
            bytes: encoded(&message),
        }
    }

    /// The first commit that is sent to a session that starts at this LSN.
    pub(crate) fn at_or_behind(&mut self, lsn: Lsn) -> usize {
        while self.commits.last().is_none_or(|last| last.lsn < lsn) {
            self.commit(self.commits.len());
        }
        self.commits.partition_point(|commit| commit.lsn < lsn)
    }

    /// The position that comes next to who has everything up to this one.
    pub(crate) fn after(&mut self, position: Position) -> Position {
        let mut number = self.at_or_behind(position.lsn());
        loop {
            let commit = self.commit(number);
            let at = |index| Position::new(EPOCH, commit.lsn, index);
            let next = commit
                .changes
                .partition_point(|change| at(change.index) <= position);
            if let Some(next) = commit.changes.get(next) {
                return at(next.index);
            }
            number += 1;
        }
    }
}

fn boundary(kind: FrameKind, index: u32, message: &Message<'_>) -> Change {
    Change {
        kind,
        index,
        tables: 1,
        relations: Vec::new(),
        bytes: encoded(message),
    }
}

/// What a walsender is at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Session {
    commit: usize,
    change: usize,
}

impl Session {
    /// START_REPLICATION: whatever commits at this LSN or behind it.
    pub(crate) fn start(server: &mut Server, at: Lsn) -> Self {
        Self {
            commit: server.at_or_behind(at),
            change: 0,
        }
    }

    /// Whether a transaction is half sent.
    pub(crate) fn is_open(&self) -> bool {
        self.change > 0
    }

    /// Everything that commits below this LSN was sent, which is the most that can be said.
    pub(crate) fn whole(&self, server: &mut Server) -> Lsn {
        match self.commit {
            0 => START,
            number => server.commit(number - 1).whole,
        }
    }

    /// A keepalive between two transactions, whose position may be anything up to the next commit.
    pub(crate) fn progress(&self, server: &mut Server, random: &mut Rng) -> Lsn {
        let from = self.whole(server).0;
        Lsn(random.u64(from..=server.commit(self.commit).lsn.0))
    }

    /// The next transaction, if it has changes, as it would be streamed.
    pub(crate) fn streamed(&self, server: &mut Server) -> Option<StreamedCommit> {
        let commit = server.commit(self.commit);
        let transaction = commit.transaction?;
        let end = commit.changes.len() - 1;
        let changes = commit.changes.get(1..end).filter(|some| !some.is_empty())?;
        Some(StreamedCommit {
            transaction,
            whole: commit.whole,
            changes: changes.to_vec(),
        })
    }

    /// The next transaction has come in another way.
    pub(crate) fn pass(&mut self) {
        self.commit += 1;
        self.change = 0;
    }

    /// As many messages as were in the socket's buffer.
    pub(crate) fn run(&mut self, server: &mut Server, messages: usize, random: &mut Rng) -> Frames {
        let mut bytes = BytesMut::new();
        let mut run = Frames::progress(EPOCH, Lsn(0));
        run.progress = None;
        run.open = match self.change {
            0 => None,
            _ => server.commit(self.commit).transaction,
        };
        while run.frames.len() < messages {
            let commit = server.commit(self.commit);
            let Some(change) = commit.changes.get(self.change) else {
                self.commit += 1;
                self.change = 0;
                continue;
            };
            push(&mut run, &mut bytes, change);
            self.change += 1;
        }
        if self.change == server.commit(self.commit).changes.len() {
            self.commit += 1;
            self.change = 0;
            if random.u8(0..3) == 0 {
                run.progress = Some(self.progress(server, random));
            }
        }
        run.bytes = bytes.freeze();
        run.pinned = run.bytes.len();
        run
    }
}

/// The changes of a streamed transaction with these indices, as a run.
pub(crate) fn frames_of(commit: &StreamedCommit, indices: Range<u32>) -> Frames {
    let mut bytes = BytesMut::new();
    let mut run = Frames::progress(EPOCH, Lsn(0));
    run.progress = None;
    run.open = Some(commit.transaction);
    let changes = commit.changes.iter();
    for change in changes.filter(|change| indices.contains(&change.index)) {
        push(&mut run, &mut bytes, change);
    }
    run.bytes = bytes.freeze();
    run.pinned = run.bytes.len();
    run
}

fn push(run: &mut Frames, bytes: &mut BytesMut, change: &Change) {
    let mut places = Vec::new();
    for relation in &change.relations {
        let known = run
            .relations
            .iter()
            .position(|one| Arc::ptr_eq(one, relation));
        places.push(known.unwrap_or_else(|| {
            run.relations.push(Arc::clone(relation));
            run.relations.len() - 1
        }) as u16);
    }
    let relation = match change.kind {
        FrameKind::Truncate => {
            let first = run.truncated.len() as u16;
            run.truncated.extend(&places);
            first
        }
        _ => places.first().copied().unwrap_or(0),
    };
    run.frames.push(Frame {
        kind: change.kind,
        relation,
        index: change.index,
        start: bytes.len() as u32,
        len: change.bytes.len() as u32,
    });
    // What lies between two messages in the socket's buffer: the headers.
    bytes.extend_from_slice(&change.bytes);
    bytes.extend_from_slice(b"header");
}

/// First and last position of each message of a run.
pub(crate) fn positions(run: &Frames) -> Vec<(Position, Position)> {
    let mut open = run.open;
    let mut positions = Vec::new();
    for frame in &run.frames {
        if frame.kind == FrameKind::Begin {
            open = run.begun(frame);
        }
        let (lsn, tables) = match frame.kind {
            FrameKind::Standalone => {
                let alone = Frames {
                    frames: vec![*frame],
                    ..run.clone()
                };
                (alone.last().expect("a position").lsn(), 1)
            }
            FrameKind::Truncate => (open.expect("open").commit_lsn, run.tables_of(frame)),
            _ => (open.expect("open").commit_lsn, 1),
        };
        let at = |index| Position::new(run.epoch, lsn, index);
        positions.push((at(frame.index), at(frame.index + (tables - 1))));
    }
    positions
}
