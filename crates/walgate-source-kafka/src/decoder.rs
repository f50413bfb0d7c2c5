//! Events into the messages of the log that they were made of. Pure state.

use std::collections::HashMap;
use std::sync::Arc;

use walgate_core::{
    FrameKind, Frames, Gap, GapReason, Lsn, OldTuple, Position, Relation, ReplicaIdentity, Shape,
    Transaction, Value,
};
use walgate_pgoutput::{Message, RelationOidsBuf, TupleBuf};

use crate::DecodeError;
use crate::definition;
use crate::event::Event;
use crate::run::Run;
use crate::scanner::{items, members, string};
use crate::value::put_text;

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is in the run that is being built.
    Yes,
    /// It is no part of the log, or was taken before.
    Passed,
    /// Changes are lost there. What was built before comes first.
    Gap(Gap),
}

/// Turns the events of one stream topic into runs of frames.
#[derive(Debug)]
pub struct EventDecoder {
    epoch: u8,
    /// Everything up to here was taken.
    highest: Position,
    open: Option<Transaction>,
    tables: HashMap<(String, String), Arc<Relation>>,
    run: Run,
}

impl EventDecoder {
    /// For a log of which everything up to `from` is there.
    pub fn new(from: Position) -> Self {
        Self {
            epoch: from.epoch(),
            highest: from,
            open: None,
            tables: HashMap::new(),
            run: Run::default(),
        }
    }

    /// Everything up to here was taken.
    pub const fn highest(&self) -> Position {
        self.highest
    }

    /// The transaction whose end has not come.
    pub const fn open(&self) -> Option<Transaction> {
        self.open
    }

    /// Goes on behind `from`, with the definitions that it knows.
    pub fn begin(&mut self, from: Position) {
        (self.epoch, self.highest, self.open) = (from.epoch(), from, None);
        self.run = Run::default();
    }

    /// The position of an event; none for one that has none.
    ///
    /// # Errors
    ///
    /// When it is no event.
    pub fn position(value: &[u8]) -> Result<Option<Position>, DecodeError> {
        let event = Event::read(value)?;
        match event.op()?.as_ref() {
            "schema" => Ok(None),
            _ => event.position().map(Some),
        }
    }

    /// Takes a definition, and nothing else, of a record that lies before where it begins.
    ///
    /// # Errors
    ///
    /// When it is no event.
    pub fn learn(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        let event = Event::read(value)?;
        match event.op()?.as_ref() {
            "schema" => self.define(&event),
            _ => Ok(()),
        }
    }

    /// Takes the value of a record.
    ///
    /// # Errors
    ///
    /// When it makes no sense. It is then not taken, and nothing of it is in the run.
    pub fn take(&mut self, value: &[u8]) -> Result<Taken, DecodeError> {
        let event = Event::read(value)?;
        let op = event.op()?;
        let kind = match op.as_ref() {
            "schema" => return self.define(&event).map(|()| Taken::Passed),
            "begin" => FrameKind::Begin,
            "commit" => FrameKind::Commit,
            "insert" => FrameKind::Insert,
            "update" => FrameKind::Update,
            "delete" => FrameKind::Delete,
            "truncate" => FrameKind::Truncate,
            "message" => FrameKind::Message,
            "gap" => return self.gap(&event),
            // Operations may be added, and a row of a snapshot is none of the log.
            _ => return Ok(Taken::Passed),
        };
        let position = event.position()?;
        if position <= self.highest {
            return Ok(Taken::Passed);
        }
        self.check_epoch(position)?;
        if position.index() == 0 {
            self.standalone(&event, position)?;
        } else {
            self.in_transaction(kind, &event, position)?;
        }
        self.highest = position;
        Ok(Taken::Yes)
    }

    /// Gives up the transaction of an event that can't be taken: what of it is in the run ends there, and
    /// the rest of it is passed over. Returns the gap that this is.
    ///
    /// # Errors
    ///
    /// When it is no event of a transaction.
    pub fn give_up(&mut self, value: &[u8]) -> Result<Gap, DecodeError> {
        let position = Event::read(value)?.position()?;
        self.check_epoch(position)?;
        let from = self.highest.lsn();
        self.end_open()?;
        let to = behind(position.lsn());
        self.highest = Position::new(self.epoch, to, 0);
        // The topic no longer has what is needed, as a journal may not.
        let reason = GapReason::SinkFellBehind;
        Ok(Gap { from, to, reason })
    }

    /// Whether what was built should go on before more is taken.
    pub fn is_full(&self) -> bool {
        self.run.is_full()
    }

    /// What was built; none when that is nothing.
    pub fn frames(&mut self) -> Option<Frames> {
        self.run.take(self.epoch)
    }

    fn check_epoch(&self, position: Position) -> Result<(), DecodeError> {
        match position.epoch() == self.epoch {
            true => Ok(()),
            false => Err(DecodeError::Epoch {
                from: self.epoch,
                to: position.epoch(),
            }),
        }
    }

    fn define(&mut self, event: &Event<'_>) -> Result<(), DecodeError> {
        let (schema, table) = (event.schema()?, event.table()?);
        let columns = event.columns.ok_or(DecodeError::Missing("columns"))?;
        let name = (schema.as_ref(), table.as_ref());
        let relation = definition::relation(name, columns, event.oid, event.replica_identity)?;
        let name = (schema.into_owned(), table.into_owned());
        // One that comes again unchanged stays the same, so that a chain derives nothing anew.
        let known = self.tables.get(&name);
        if known.is_none_or(|known| **known != relation) {
            self.tables.insert(name, Arc::new(relation));
        }
        Ok(())
    }

    fn gap(&mut self, event: &Event<'_>) -> Result<Taken, DecodeError> {
        let position = event.position()?;
        if position <= self.highest {
            return Ok(Taken::Passed);
        }
        self.check_epoch(position)?;
        let (from, to, reason) = event.gap()?;
        self.end_open()?;
        self.highest = position;
        // One that is not known here is one that may be added; what matters is that it is a gap.
        let reason = GapReason::of_name(&reason).unwrap_or(GapReason::SlotAhead);
        Ok(Taken::Gap(Gap { from, to, reason }))
    }

    fn standalone(&mut self, event: &Event<'_>, position: Position) -> Result<(), DecodeError> {
        let (prefix, content) = (event.prefix()?, event.content()?);
        self.end_open()?;
        let message = Message::Message {
            xid: None,
            transactional: false,
            lsn: position.lsn(),
            prefix: &prefix,
            content: &content,
        };
        self.run.push(FrameKind::Standalone, (0, 0), &message, None)
    }

    fn in_transaction(
        &mut self,
        kind: FrameKind,
        event: &Event<'_>,
        position: Position,
    ) -> Result<(), DecodeError> {
        let transaction = event.transaction()?;
        if transaction.commit_lsn != position.lsn() {
            return Err(DecodeError::Senseless("lsn"));
        }
        // What the event brings is complete before anything of it is in the run.
        let row = match kind {
            FrameKind::Insert | FrameKind::Update | FrameKind::Delete => Some(self.row(event)?),
            FrameKind::Truncate => Some(Row {
                relation: self.table(event)?,
                old: None,
                new: TupleBuf::new(),
            }),
            _ => None,
        };
        let (prefix, content) = match kind {
            FrameKind::Message => (event.prefix()?, event.content()?),
            _ => Default::default(),
        };
        let options = match kind {
            FrameKind::Truncate => (event.cascade()?, event.restart_identity()?),
            _ => (false, false),
        };
        self.begin_transaction(transaction)?;
        match (kind, row) {
            (FrameKind::Begin, _) => Ok(()),
            (FrameKind::Commit, _) => self.end_open(),
            (FrameKind::Message, _) => {
                let message = Message::Message {
                    xid: None,
                    transactional: true,
                    // Its own is not in the event; it lies somewhere before the commit.
                    lsn: position.lsn(),
                    prefix: &prefix,
                    content: &content,
                };
                let place = (0, position.index());
                self.run.push(kind, place, &message, self.open)
            }
            (_, Some(row)) => self.push_row(kind, &row, options, position.index()),
            (_, None) => Err(DecodeError::Senseless("op")),
        }
    }

    /// Opens the transaction of an event, unless it is open.
    fn begin_transaction(&mut self, transaction: Transaction) -> Result<(), DecodeError> {
        if self
            .open
            .is_some_and(|open| open.commit_lsn == transaction.commit_lsn)
        {
            return Ok(());
        }
        self.end_open()?;
        let message = Message::Begin {
            final_lsn: transaction.commit_lsn,
            commit_time: transaction.commit_time,
            xid: transaction.xid,
        };
        let place = (0, Position::BEGIN);
        self.run.push(FrameKind::Begin, place, &message, None)?;
        self.open = Some(transaction);
        Ok(())
    }

    /// Ends the transaction that is open: its commit has come, or something behind it, when the sink
    /// that writes the topic was configured anew in the middle and lacks what would have been its end.
    fn end_open(&mut self) -> Result<(), DecodeError> {
        let Some(open) = self.open else {
            return Ok(());
        };
        let message = Message::Commit {
            flags: 0,
            commit_lsn: open.commit_lsn,
            end_lsn: behind(open.commit_lsn),
            commit_time: open.commit_time,
        };
        let place = (0, Position::COMMIT);
        self.run
            .push(FrameKind::Commit, place, &message, self.open)?;
        self.open = None;
        Ok(())
    }

    fn push_row(
        &mut self,
        kind: FrameKind,
        row: &Row,
        (cascade, restart_identity): (bool, bool),
        index: u32,
    ) -> Result<(), DecodeError> {
        let oid = row.relation.oid;
        let mut place = self.run.place_of(&row.relation)?;
        let old = row.old.as_ref().map(|old| match row.relation.identity {
            ReplicaIdentity::Full => OldTuple::Full(old.as_tuple()),
            _ => OldTuple::Key(old.as_tuple()),
        });
        let oids = RelationOidsBuf::from_iter([oid]);
        let new = row.new.as_tuple();
        let message = match (kind, old) {
            (FrameKind::Insert, _) => Message::Insert {
                xid: None,
                relation: oid,
                new,
            },
            (FrameKind::Update, old) => Message::Update {
                xid: None,
                relation: oid,
                old,
                new,
            },
            (FrameKind::Delete, Some(old)) => Message::Delete {
                xid: None,
                relation: oid,
                old,
            },
            (FrameKind::Truncate, _) => {
                place = self.run.truncates(place)?;
                Message::Truncate {
                    xid: None,
                    cascade,
                    restart_identity,
                    relations: oids.as_relations(),
                }
            }
            _ => return Err(DecodeError::Missing("before")),
        };
        self.run.push(kind, (place, index), &message, self.open)
    }

    fn table(&self, event: &Event<'_>) -> Result<Arc<Relation>, DecodeError> {
        let name = (event.schema()?.into_owned(), event.table()?.into_owned());
        let known = self.tables.get(&name).map(Arc::clone);
        known.ok_or_else(|| DecodeError::Undefined {
            table: format!("{}.{}", name.0, name.1),
        })
    }

    fn row(&self, event: &Event<'_>) -> Result<Row, DecodeError> {
        let relation = self.table(event)?;
        let is_delete = event.after.is_none();
        let old = match event.before {
            Some(before) => Some(tuple(&relation, before, None)?),
            // A delete of which nothing is shown: the columns of its identity are not there.
            None if is_delete => Some(tuple(&relation, "{}", None)?),
            None => None,
        };
        let new = match event.after {
            Some(after) => tuple(&relation, after, Some(event.unchanged.unwrap_or("[]")))?,
            None => TupleBuf::new(),
        };
        Ok(Row { relation, old, new })
    }
}

/// A row of an event.
#[derive(Debug)]
struct Row {
    relation: Arc<Relation>,
    old: Option<TupleBuf>,
    new: TupleBuf,
}

/// The first place in the log behind a commit record: the record is longer than that, and nothing
/// else begins in it.
pub(crate) fn behind(commit: Lsn) -> Lsn {
    commit.checked_add(1).unwrap_or(commit)
}

/// The values of an object as a row of the relation. Of a new row (`unchanged` is given) every column
/// is there or named as unchanged; of an old one what was not logged is not.
fn tuple(
    relation: &Relation,
    object: &str,
    unchanged: Option<&str>,
) -> Result<TupleBuf, DecodeError> {
    let refused = |column: &str, what| DecodeError::Value {
        table: format!("{}.{}", relation.schema, relation.name),
        column: column.to_owned(),
        what,
    };
    let mut values: Vec<Option<&str>> = vec![None; relation.columns.len()];
    // Mostly in the order of the table.
    let mut next = 0;
    members(object, |name, value| {
        let is_next = |column: &walgate_core::Column| column.name == *name;
        let place = match relation.columns.get(next) {
            Some(column) if is_next(column) => Some(next),
            _ => relation.columns.iter().position(is_next),
        };
        let Some(place) = place else {
            return Err(refused(&name, "the table has no such column"));
        };
        next = place + 1;
        if let Some(slot) = values.get_mut(place) {
            *slot = Some(value);
        }
        Ok(())
    })?;
    let mut kept = Vec::new();
    if let Some(unchanged) = unchanged {
        items(unchanged, |name| {
            kept.push(string(name)?);
            Ok(())
        })?;
    }
    let is_full = relation.identity == ReplicaIdentity::Full;
    let mut tuple = TupleBuf::new();
    let mut text = Vec::new();
    for (column, value) in relation.columns.iter().zip(values) {
        text.clear();
        let value = match value {
            Some(json) => value_of(column.shape, json, &mut text)
                .map_err(|what| refused(&column.name, what))?,
            None if unchanged.is_none() && !is_full && !column.key => Value::Null,
            None if unchanged.is_none() => Value::Unchanged,
            None if kept.iter().any(|name| *name == column.name) => Value::Unchanged,
            None => return Err(refused(&column.name, "it is neither there nor unchanged")),
        };
        tuple.push(value).map_err(|_| DecodeError::TooLarge)?;
    }
    Ok(tuple)
}

fn value_of<'a>(
    shape: Shape,
    json: &str,
    text: &'a mut Vec<u8>,
) -> Result<Value<'a>, &'static str> {
    match put_text(shape, json, text) {
        Ok(true) => Ok(Value::Text(text)),
        Ok(false) => Ok(Value::Null),
        Err(refused) => Err(refused.0),
    }
}
