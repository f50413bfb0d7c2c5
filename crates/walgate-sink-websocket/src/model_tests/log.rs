//! A random log, the journal that holds it, and what an encoder makes of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, BytesMut};
use walgate_core::{
    Body, Change, Column, ColumnUse, EncodeError, Encoded, Encoder, Failure, Gap, GapReason, Lsn,
    OldTuple, PgMicros, Position, Relation, ReplicaIdentity, Shape, Table, Transaction, Tuple,
    Value,
};
use walgate_pgoutput::TupleBuf;

use crate::history::{Backlog, History, Read};

/// Names of the tables, all in the schema `s`.
pub(super) const TABLES: [&str; 2] = ["a", "b"];
/// Their columns; the first is the key.
pub(super) const COLUMNS: [&str; 3] = ["id", "grp", "level"];
/// Texts of `level`.
pub(super) const LEVELS: [&str; 3] = ["info", "warn", "error"];

/// A row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) grp: Option<u32>,
    pub(super) level: usize,
}

impl Row {
    fn random(random: &mut fastrand::Rng, id: u32) -> Self {
        Self {
            id,
            grp: (random.u8(0..8) > 0).then(|| random.u32(0..4)),
            level: random.usize(0..LEVELS.len()),
        }
    }

    fn tuple(self) -> TupleBuf {
        let mut tuple = TupleBuf::new();
        let (id, grp) = (self.id.to_string(), self.grp.map(|grp| grp.to_string()));
        let grp = grp
            .as_ref()
            .map_or(Value::Null, |grp| Value::Text(grp.as_bytes()));
        let level = Value::Text(LEVELS[self.level].as_bytes());
        for value in [Value::Text(id.as_bytes()), grp, level] {
            tuple.push(value).expect("a small value");
        }
        tuple
    }
}

/// What has happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Begin,
    Commit,
    Message,
    Truncate,
    Insert(Row),
    Update(Row, Row),
    Delete(Row),
}

/// An entry of the log.
#[derive(Debug)]
pub(super) struct Logged {
    pub(super) position: Position,
    transaction: Option<Transaction>,
    pub(super) table: usize,
    pub(super) what: What,
    definition: Arc<Table>,
    old: TupleBuf,
    new: TupleBuf,
}

impl Logged {
    pub(super) fn change(&self) -> Change<'_> {
        let table = &self.definition;
        let (old, new) = (OldTuple::Full(self.old.as_tuple()), self.new.as_tuple());
        let body = match self.what {
            What::Begin => Body::Begin,
            What::Commit => Body::Commit { changes: 0 },
            What::Message => Body::Message {
                lsn: self.position.lsn(),
                transactional: self.transaction.is_some(),
                prefix: "m",
                content: b"",
            },
            What::Truncate => Body::Truncate {
                table,
                cascade: false,
                restart_identity: false,
            },
            What::Insert(_) => Body::Insert { table, new },
            What::Update(..) => Body::Update {
                table,
                old: Some(old),
                new,
            },
            What::Delete(_) => Body::Delete { table, old },
        };
        Change {
            position: self.position,
            transaction: self.transaction.as_ref(),
            body,
        }
    }
}

fn definition(place: usize) -> Arc<Table> {
    let column = |name: &&str| {
        let type_oid = if *name == "level" { 25 } else { 23 };
        Column {
            name: (*name).to_owned(),
            type_oid,
            type_name: String::new(),
            typmod: -1,
            key: true,
            shape: Shape::of_builtin(type_oid).expect("a builtin type"),
        }
    };
    let relation = Relation {
        oid: 16_384,
        schema: "s".to_owned(),
        name: TABLES[place].to_owned(),
        identity: ReplicaIdentity::Full,
        columns: COLUMNS.iter().map(column).collect(),
        primary_key: vec![0],
    };
    Arc::new(Table {
        id: u32::try_from(place).expect("small"),
        key: relation.key(),
        columns: vec![ColumnUse::Keep; COLUMNS.len()],
        relation: Arc::new(relation),
    })
}

/// A log of `transactions` transactions, and messages of none between them.
pub(super) fn random_log(random: &mut fastrand::Rng, transactions: u32) -> Vec<Arc<Logged>> {
    let tables = [definition(0), definition(1)];
    let mut rows: [Vec<Row>; 2] = Default::default();
    let (mut log, mut lsn, mut id) = (Vec::new(), 0, 0);
    for xid in 1..=transactions {
        lsn += random.u64(1..9);
        let mut put = |index, transaction, table: usize, what| {
            let (old, new) = match what {
                What::Insert(new) => (new, new),
                What::Update(old, new) => (old, new),
                What::Delete(old) => (old, old),
                _ => (
                    Row::random(&mut fastrand::Rng::with_seed(0), 0),
                    Row::random(&mut fastrand::Rng::with_seed(0), 0),
                ),
            };
            log.push(Arc::new(Logged {
                position: Position::new(0, Lsn(lsn), index),
                transaction,
                table,
                what,
                definition: Arc::clone(&tables[table]),
                old: old.tuple(),
                new: new.tuple(),
            }));
        };
        if random.u8(0..8) == 0 {
            put(0, None, 0, What::Message);
            continue;
        }
        let transaction = Some(Transaction {
            xid,
            commit_lsn: Lsn(lsn),
            commit_time: PgMicros(0),
        });
        put(Position::BEGIN, transaction, 0, What::Begin);
        for index in 2..random.u32(3..10) {
            let table = random.usize(0..2);
            let known = &mut rows[table];
            let place = random.usize(0..known.len().max(1));
            let what = match (random.u8(0..16), known.get(place).copied()) {
                (0, _) => What::Message,
                (1, _) => {
                    known.clear();
                    What::Truncate
                }
                (2..9, Some(old)) => {
                    let new = Row::random(random, old.id);
                    known[place] = new;
                    What::Update(old, new)
                }
                (9..11, Some(old)) => {
                    known.swap_remove(place);
                    What::Delete(old)
                }
                _ => {
                    id += 1;
                    let new = Row::random(random, id);
                    known.push(new);
                    What::Insert(new)
                }
            };
            put(index, transaction, table, what);
        }
        put(Position::COMMIT, transaction, 0, What::Commit);
    }
    log
}

/// Writes what a test can compare: the operation, its position, and what it shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TextEncoder;

impl Encoder for TextEncoder {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        let op = change.body.op().name();
        let mut text = format!("{op} {}", change.position);
        let id = |tuple: Tuple<'_>| match tuple.iter().next() {
            Some(Value::Text(id)) => String::from_utf8_lossy(id).into_owned(),
            other => panic!("{other:?} is no id"),
        };
        if let Some(table) = change.body.table() {
            text.push_str(&format!(" {}", table.relation.name));
        }
        let shown = match change.body {
            Body::Insert { table, new } | Body::Update { table, new, .. } => Some((table, new)),
            Body::Delete { table, old } => Some((table, old.tuple())),
            _ => None,
        };
        if let Some((table, row)) = shown {
            text.push_str(&format!(" {}", id(row)));
            for (used, name) in table.columns.iter().zip(COLUMNS) {
                if *used == ColumnUse::Keep {
                    text.push_str(&format!(" {name}"));
                }
            }
        }
        match change.body {
            Body::Leave { old, .. } => text.push_str(&format!(" {}", id(old.tuple()))),
            Body::Commit { changes } => text.push_str(&format!(" {changes}")),
            _ => {}
        }
        text.push('\n');
        out.put_slice(text.as_bytes());
        Ok(Encoded::default())
    }
}

/// The journal: it outlives hubs.
pub(super) struct Journal {
    pub(super) log: Vec<Arc<Logged>>,
    /// So much of the log is there.
    pub(super) visible: AtomicUsize,
    /// So much of it is not retained.
    pub(super) gone: AtomicUsize,
    pub(super) random: Mutex<fastrand::Rng>,
}

impl Journal {
    pub(super) fn visible(&self) -> usize {
        self.visible.load(Ordering::SeqCst)
    }

    fn before(&self, place: usize) -> Position {
        let last = place.checked_sub(1).and_then(|last| self.log.get(last));
        last.map_or(Position::ZERO, |logged| logged.position)
    }
}

/// The journal as clients that come back are given it.
pub(super) struct Shelf(pub(super) Arc<Journal>);

impl History for Shelf {
    fn is_durable(&self) -> bool {
        true
    }

    fn oldest(&self) -> Position {
        self.0.before(self.0.gone.load(Ordering::SeqCst))
    }

    fn head(&self) -> Position {
        self.0.before(self.0.visible())
    }

    fn read(&self, after: Position) -> Result<Box<dyn Backlog>, Failure> {
        let journal = Arc::clone(&self.0);
        let next = journal.log.partition_point(|own| own.position <= after);
        Ok(Box::new(Reading {
            journal,
            next,
            seen: after,
        }))
    }
}

struct Reading {
    journal: Arc<Journal>,
    next: usize,
    seen: Position,
}

impl Backlog for Reading {
    fn next<'a>(
        &'a mut self,
        take: &'a mut (dyn for<'c> FnMut(&Change<'c>) + Send),
    ) -> Pin<Box<dyn Future<Output = Result<Read, Failure>> + Send + 'a>> {
        Box::pin(async move {
            let (mood, len) = {
                let mut random = self.journal.random.lock().expect("one thread");
                (random.u8(0..8), random.usize(1..9))
            };
            if mood == 0 {
                std::future::pending::<()>().await;
            }
            if self.next < self.journal.gone.load(Ordering::SeqCst) {
                return Ok(Read::Gone(Gap {
                    from: self.seen.lsn(),
                    to: self.seen.lsn(),
                    reason: GapReason::SinkFellBehind,
                }));
            }
            let visible = self.journal.visible();
            if mood == 1 || self.next >= visible {
                return Ok(Read::End(self.seen));
            }
            let upto = (self.next + len).min(visible);
            for logged in &self.journal.log[self.next..upto] {
                take(&logged.change());
                self.seen = logged.position;
            }
            self.next = upto;
            Ok(Read::More(self.seen))
        })
    }
}
