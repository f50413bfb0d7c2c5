//! Random histories of a database, and what a server sends of them, with and without streaming.
//!
//! It follows `reorderbuffer.c` and `pgoutput.c`: changes wait by transaction; any of them may be
//! streamed at any time; the abort of a sub-transaction names its released children first; whether
//! a relation was announced is remembered once for the committed transactions and once for each
//! streamed one, and forgotten when its definition changes or a roll-back is streamed.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use walgate_core::{Oid, ReplicaIdentity, Xid};
use walgate_pgoutput::{Message, RelationOidsBuf};

use super::wire::Wire;

const TABLES: Oid = 4;

/// What a transaction did.
#[derive(Debug, Clone)]
pub(super) enum Did {
    /// A row of a table, in the form that it has then.
    Row(Oid, u32),
    Truncate(Vec<(Oid, u32)>),
    Message,
    /// Something that is not published.
    Hidden,
}

#[derive(Debug, Clone)]
pub(super) struct Change {
    top: Xid,
    writer: Xid,
    number: u64,
    did: Did,
}

/// A record of the log.
#[derive(Debug, Clone)]
pub(super) enum Record {
    Change(Change),
    /// A sub-transaction ends without effect, and its released children.
    AbortSub {
        top: Xid,
        sub: Xid,
        children: Vec<Xid>,
    },
    Abort(Xid),
    /// A transaction has committed; this is left of it.
    Commit(Xid, Vec<Change>),
    /// A message outside of transactions.
    Alone,
}

/// A savepoint, or the transaction itself.
#[derive(Debug, Default)]
struct Level {
    xid: Option<Xid>,
    children: Vec<Xid>,
    /// Length of `left` and `altered` at its beginning.
    left: usize,
    altered: usize,
}

#[derive(Debug, Default)]
struct Running {
    levels: Vec<Level>,
    left: Vec<Change>,
    /// Tables whose form it has changed, and what they were.
    altered: Vec<(Oid, u32)>,
    wrote: BTreeSet<Oid>,
}

/// A history: its records, in the order of the log. The record `n` lies at `lsn_of(n)`.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) records: Vec<Record>,
    running: Vec<Running>,
    forms: BTreeMap<Oid, u32>,
    next_form: u32,
    next_xid: Xid,
}

/// Where a record lies.
pub(super) const fn lsn_of(record: usize) -> u64 {
    1000 + 10 * record as u64
}

impl History {
    /// A random one. With `messages` out of 100 changes being logical messages.
    pub(super) fn random(rng: &mut Rng, length: usize, messages: u32) -> Self {
        let mut history = Self {
            next_xid: 100,
            ..Self::default()
        };
        while history.records.len() < length {
            if history.running.len() < 3 && rng.u32(..4) == 0 {
                history.running.push(Running {
                    levels: vec![Level::default()],
                    ..Running::default()
                });
            }
            if history.running.is_empty() {
                continue;
            }
            let at = rng.usize(..history.running.len());
            history.step(rng, at, messages);
        }
        while !history.running.is_empty() {
            history.end(rng, 0);
        }
        history
    }

    fn step(&mut self, rng: &mut Rng, at: usize, messages: u32) {
        match rng.u32(..100) {
            0..12 => {
                let running = &mut self.running[at];
                if running.levels.len() < 5 {
                    running.levels.push(Level {
                        left: running.left.len(),
                        altered: running.altered.len(),
                        ..Level::default()
                    });
                }
            }
            12..18 => self.release(at),
            18..28 => self.roll_back(rng, at),
            28..31 => self.end(rng, at),
            31..34 => self.publication(rng),
            34..37 => self.alter(rng, at),
            37..39 => self.records.push(Record::Alone),
            _ if rng.u32(..100) < messages => self.write(at, Did::Message),
            39..47 => self.write(at, Did::Hidden),
            47..51 => {
                let tables: BTreeSet<Oid> = (0..rng.u32(1..3)).map(|_| table(rng)).collect();
                if tables.iter().all(|table| self.may_write(at, *table)) {
                    let forms = tables
                        .into_iter()
                        .map(|table| (table, self.form(table)))
                        .collect();
                    self.write(at, Did::Truncate(forms));
                }
            }
            _ => {
                let table = table(rng);
                if self.may_write(at, table) {
                    let form = self.form(table);
                    self.write(at, Did::Row(table, form));
                }
            }
        }
    }

    fn form(&self, table: Oid) -> u32 {
        self.forms.get(&table).copied().unwrap_or(0)
    }

    fn may_write(&self, at: usize, table: Oid) -> bool {
        let others = |(place, running): (usize, &Running)| {
            place == at || running.altered.iter().all(|(altered, _)| *altered != table)
        };
        self.running.iter().enumerate().all(others)
    }

    fn write(&mut self, at: usize, did: Did) {
        let running = &mut self.running[at];
        match &did {
            Did::Row(table, _) => drop(running.wrote.insert(*table)),
            Did::Truncate(tables) => running.wrote.extend(tables.iter().map(|(table, _)| *table)),
            Did::Message | Did::Hidden => {}
        }
        // Parents have their ids before their children.
        for level in &mut running.levels {
            level.xid.get_or_insert_with(|| {
                self.next_xid += 1;
                self.next_xid
            });
        }
        let xid = |level: Option<&Level>| level.and_then(|level| level.xid).expect("assigned");
        let change = Change {
            top: xid(running.levels.first()),
            writer: xid(running.levels.last()),
            number: self.records.len() as u64,
            did,
        };
        running.left.push(change.clone());
        self.records.push(Record::Change(change));
    }

    fn release(&mut self, at: usize) {
        let running = &mut self.running[at];
        if running.levels.len() < 2 {
            return;
        }
        let level = running.levels.pop().expect("at least two");
        let parent = running.levels.last_mut().expect("at least one");
        parent.children.extend(level.children);
        parent.children.extend(level.xid);
    }

    /// ROLLBACK TO a savepoint, which stays.
    fn roll_back(&mut self, rng: &mut Rng, at: usize) {
        let running = &mut self.running[at];
        if running.levels.len() < 2 {
            return;
        }
        let to = rng.usize(1..running.levels.len());
        let top = running.levels[0].xid;
        while running.levels.len() > to {
            let level = running.levels.pop().expect("at least two");
            running.left.truncate(level.left);
            while running.altered.len() > level.altered {
                let (table, form) = running.altered.pop().expect("more than that");
                self.forms.insert(table, form);
            }
            if let (Some(top), Some(sub)) = (top, level.xid) {
                self.records.push(Record::AbortSub {
                    top,
                    sub,
                    children: level.children,
                });
            }
        }
        running.levels.push(Level {
            left: running.left.len(),
            altered: running.altered.len(),
            ..Level::default()
        });
    }

    fn end(&mut self, rng: &mut Rng, at: usize) {
        let running = self.running.swap_remove(at);
        let Some(top) = running.levels[0].xid else {
            return;
        };
        if rng.u32(..5) > 0 {
            self.records.push(Record::Commit(top, running.left));
            return;
        }
        for (table, form) in running.altered.into_iter().rev() {
            self.forms.insert(table, form);
        }
        self.records.push(Record::Abort(top));
    }

    /// The publication gets another column list for a table: nobody has to wait for that.
    fn publication(&mut self, rng: &mut Rng) {
        let table = table(rng);
        let altered = |running: &Running| running.altered.iter().any(|(other, _)| *other == table);
        if !self.running.iter().any(altered) {
            self.next_form += 1;
            self.forms.insert(table, self.next_form);
        }
    }

    /// ALTER TABLE: only when nobody else writes to it.
    fn alter(&mut self, rng: &mut Rng, at: usize) {
        let table = table(rng);
        let free =
            |(place, running): (usize, &Running)| place == at || !running.wrote.contains(&table);
        if self.may_write(at, table) && self.running.iter().enumerate().all(free) {
            let before = self.form(table);
            self.running[at].altered.push((table, before));
            self.next_form += 1;
            self.forms.insert(table, self.next_form);
            self.write(at, Did::Hidden);
        }
    }
}

fn table(rng: &mut Rng) -> Oid {
    rng.u32(1..=TABLES)
}

/// A server that decodes a history for one connection.
#[derive(Debug, Default)]
pub(super) struct Server {
    streams: bool,
    /// What commits below it is not sent, and nothing is streamed before it.
    start: u64,
    waiting: BTreeMap<Xid, Vec<Change>>,
    /// Top-level transactions and sub-transactions of which something was streamed.
    streamed: BTreeSet<Xid>,
    /// The form of each table that is in the cache.
    cached: BTreeMap<Oid, u32>,
    announced: BTreeSet<Oid>,
    announced_in: BTreeMap<Xid, BTreeSet<Oid>>,
}

impl Server {
    pub(super) fn new(streams: bool, start: u64) -> Self {
        Self {
            streams,
            start,
            ..Self::default()
        }
    }

    /// What is sent for the record at place `at`.
    pub(super) fn decode(&mut self, rng: &mut Rng, at: usize, record: &Record, wire: &mut Wire) {
        let lsn = lsn_of(at);
        match record {
            Record::Change(change) => {
                let top = change.top;
                self.waiting.entry(top).or_default().push(change.clone());
                if self.streams && lsn >= self.start && rng.u32(..3) == 0 {
                    self.stream(rng, top, wire);
                }
            }
            Record::AbortSub { top, sub, children } => {
                for gone in children.iter().chain([sub]) {
                    if let Some(waiting) = self.waiting.get_mut(top) {
                        waiting.retain(|change| change.writer != *gone);
                    }
                    if self.streamed.contains(gone) {
                        self.announced_in.remove(top);
                        wire.abort(*top, *gone);
                    }
                }
            }
            Record::Abort(top) => {
                self.waiting.remove(top);
                if self.streamed.contains(top) {
                    self.announced_in.remove(top);
                    wire.abort(*top, *top);
                }
            }
            Record::Commit(top, left) => {
                let skipped = lsn < self.start;
                if self.streamed.contains(top) {
                    self.stream(rng, *top, wire);
                    wire.stream_commit(*top, lsn);
                    let announced = self.announced_in.remove(top).unwrap_or_default();
                    self.announced.extend(announced);
                } else if !skipped {
                    self.plain(*top, left, lsn, wire);
                }
                self.waiting.remove(top);
            }
            // A message's LSN is the end of its record.
            Record::Alone if lsn <= self.start => {}
            Record::Alone => drop(wire.logical(false, lsn, "alone")),
        }
        if rng.u32(..10) == 0 {
            wire.keepalive(lsn + 6, false);
        }
    }

    fn stream(&mut self, rng: &mut Rng, top: Xid, wire: &mut Wire) {
        let changes = self.waiting.remove(&top).unwrap_or_default();
        wire.start(top, self.streamed.insert(top));
        for change in &changes {
            self.streamed.insert(change.writer);
            self.send(change, Some(top), wire);
            if rng.u32(..30) == 0 {
                wire.keepalive(1, false);
            }
        }
        wire.stop();
    }

    fn plain(&mut self, top: Xid, left: &[Change], lsn: u64, wire: &mut Wire) {
        if left.iter().all(|change| matches!(change.did, Did::Hidden)) {
            return;
        }
        wire.begin_of(top, lsn);
        for change in left {
            self.send(change, None, wire);
        }
        wire.commit(lsn);
    }

    fn send(&mut self, change: &Change, top: Option<Xid>, wire: &mut Wire) {
        wire.xid = top.map(|_| change.writer);
        let text = change.number.to_string();
        match &change.did {
            Did::Hidden => {}
            Did::Message => {
                // It does not say who wrote it.
                wire.xid = top;
                wire.logical(true, lsn_of(0) + change.number, &text);
            }
            Did::Row(table, form) => {
                self.announce(*table, *form, top, wire);
                wire.row(*table, &text, columns_of(*form));
            }
            Did::Truncate(tables) => {
                for (table, form) in tables {
                    self.announce(*table, *form, top, wire);
                }
                let oids: RelationOidsBuf = tables.iter().map(|(table, _)| *table).collect();
                wire.message(&Message::Truncate {
                    xid: wire.xid,
                    cascade: false,
                    restart_identity: false,
                    relations: oids.as_relations(),
                });
            }
        }
    }

    fn announce(&mut self, table: Oid, form: u32, top: Option<Xid>, wire: &mut Wire) {
        if self.cached.insert(table, form) != Some(form) {
            self.announced.remove(&table);
            for announced in self.announced_in.values_mut() {
                announced.remove(&table);
            }
        }
        let announced = match top {
            Some(top) => self.announced_in.entry(top).or_default(),
            None => &mut self.announced,
        };
        if !announced.insert(table) {
            return;
        }
        let names: Vec<String> = (0..columns_of(form))
            .map(|column| format!("c{column}_{form}"))
            .collect();
        let columns: Vec<(&str, Oid)> = names.iter().map(|name| (name.as_str(), 25)).collect();
        let identity = if table == TABLES {
            ReplicaIdentity::Full
        } else {
            ReplicaIdentity::Default
        };
        wire.relation(table, identity, &columns);
    }
}

/// How many columns a table of this form has.
const fn columns_of(form: u32) -> usize {
    1 + form as usize % 3
}
