//! The native event: one JSON object on one line.

mod event;
mod plan;
pub(crate) mod refusal;
mod row;
mod stamp;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use walgate_core::{Body, Change, EncodeError, Encoded, Encoder, OldTuple, Op, Span, Table, Tuple};

use crate::MaskKey;
use plan::Plan;
use refusal::too_large;
use row::Row;
use stamp::Stamp;

/// How int8 is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Int8 {
    /// As a number.
    #[default]
    Number,
    /// As a string, for readers whose numbers are doubles and end at 2^53.
    String,
}

/// What can be chosen of the native event.
#[derive(Debug, Clone, Default)]
pub struct NativeJsonOptions {
    /// How int8 is written, also in keys and arrays.
    pub int8: Int8,
    /// The key of masked columns. A change of a table that has some is refused without it.
    pub mask_key: Option<MaskKey>,
    /// Whether [`Encoded::old_key`] is given. Where it is not a part of the event (REPLICA
    /// IDENTITY FULL, configured keys) its bytes follow the event's line feed, so that the
    /// batch's bytes as a whole are no longer lines of JSON: it is for sinks that send each
    /// record by itself.
    pub old_keys: bool,
}

/// Definitions that are kept at most. More are met only when tables are altered all the time;
/// then all are derived again.
const MAX_PLANS: usize = 4096;

/// The encoder of the native event.
///
/// Each event is followed by a line feed that [`Encoded::value`] leaves out: the bytes of a batch
/// are lines of JSON as they stand (but see [`NativeJsonOptions::old_keys`]).
#[derive(Debug)]
pub struct NativeJson {
    options: NativeJsonOptions,
    plans: HashMap<u32, Arc<Plan>>,
    /// The last table: a run of rows is mostly of one.
    last: Option<(u32, Arc<Plan>)>,
    stamp: Stamp,
}

impl NativeJson {
    /// An encoder that knows no table yet.
    pub fn new(options: NativeJsonOptions) -> Self {
        Self {
            options,
            plans: HashMap::new(),
            last: None,
            stamp: Stamp::default(),
        }
    }

    #[inline]
    fn write(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        match change.body {
            Body::Insert { table, new } => self.write_row(change, table, None, Some(new), out),
            Body::Read { table, new } => self.write_read(change, table, new, out),
            Body::Update { table, old, new } => self.write_row(change, table, old, Some(new), out),
            Body::Delete { table, old } => self.write_row(change, table, Some(old), None, out),
            Body::Leave { table, old, new } => self.write_leave(change, table, (old, new), out),
            Body::Truncate { .. }
            | Body::Message { .. }
            | Body::Schema { .. }
            | Body::Begin
            | Body::Commit { .. }
            | Body::Gap(_) => self.write_event(change, out),
        }
    }

    #[inline]
    fn write_row(
        &mut self,
        change: &Change<'_>,
        table: &Table,
        old: Option<OldTuple<'_>>,
        new: Option<Tuple<'_>>,
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError> {
        let start = out.len();
        self.find_plan(table);
        let Some((_, plan)) = &self.last else {
            return Ok(Encoded::default());
        };
        let row = Row {
            plan,
            options: &self.options,
            old,
            new,
        };
        self.stamp.put_id(change.position, out);
        out.put_slice(match (old, new) {
            (_, None) => &plan.delete,
            (None, Some(_)) if change.body.op() == Op::Insert => &plan.insert,
            (_, Some(_)) => &plan.update,
        });
        let parts = row.write(out)?;
        self.stamp.put_tail(change.transaction, out);
        row.finish(&parts, start, out)
    }

    #[inline(never)]
    fn write_read(
        &mut self,
        change: &Change<'_>,
        table: &Table,
        new: Tuple<'_>,
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError> {
        let start = out.len();
        self.find_plan(table);
        let Some((_, plan)) = &self.last else {
            return Ok(Encoded::default());
        };
        let row = Row {
            plan,
            options: &self.options,
            old: None,
            new: Some(new),
        };
        out.put_slice(&plan.read);
        let parts = row.write(out)?;
        self.stamp.put_tail(change.transaction, out);
        row.finish(&parts, start, out)
    }

    #[inline(never)]
    fn write_leave(
        &mut self,
        change: &Change<'_>,
        table: &Table,
        (old, new): (OldTuple<'_>, Tuple<'_>),
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError> {
        let start = out.len();
        self.find_plan(table);
        let Some((_, plan)) = &self.last else {
            return Ok(Encoded::default());
        };
        let row = Row {
            plan,
            options: &self.options,
            old: Some(old),
            new: Some(new),
        };
        self.stamp.put_id(change.position, out);
        out.put_slice(&plan.leave);
        let key = row.write_leaving_key(out)?;
        self.stamp.put_tail(change.transaction, out);
        row.end(key, start, out)
    }

    #[inline(never)]
    fn write_event(
        &mut self,
        change: &Change<'_>,
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError> {
        let start = out.len();
        let transaction = change.transaction;
        match change.body {
            Body::Schema { table } => {
                let plan = self.plan(table);
                out.put_slice(&plan.schema);
                self.stamp.put_transaction(transaction, out);
                event::put_definition(table, out);
            }
            Body::Truncate {
                table,
                cascade,
                restart_identity,
            } => {
                let plan = self.plan(table);
                self.stamp.put_id(change.position, out);
                out.put_slice(&plan.truncate);
                self.stamp.put_transaction(transaction, out);
                event::put_bool(b",\"cascade\":", cascade, out);
                event::put_bool(b",\"restart_identity\":", restart_identity, out);
            }
            Body::Message {
                lsn,
                transactional,
                prefix,
                content,
            } => {
                self.put_op(change, out);
                match transaction {
                    None => event::put_message_lsn(lsn, out),
                    Some(_) => self.stamp.put_transaction(transaction, out),
                }
                event::put_message(prefix, content, transactional, out);
            }
            Body::Commit { changes } => {
                self.put_op(change, out);
                self.stamp.put_transaction(transaction, out);
                out.put_slice(format!(",\"changes\":{changes}").as_bytes());
            }
            Body::Gap(gap) => {
                self.put_op(change, out);
                event::put_gap(gap, out);
            }
            Body::Begin
            | Body::Insert { .. }
            | Body::Read { .. }
            | Body::Update { .. }
            | Body::Delete { .. }
            | Body::Leave { .. } => {
                self.put_op(change, out);
                self.stamp.put_transaction(transaction, out);
            }
        }
        out.put_slice(b"}\n");
        let value = span(start, out.len() - 1).ok_or_else(too_large)?;
        Ok(Encoded {
            value,
            key: None,
            old_key: None,
        })
    }

    fn put_op(&mut self, change: &Change<'_>, out: &mut BytesMut) {
        self.stamp.put_id(change.position, out);
        out.put_slice(b"\",\"op\":\"");
        out.put_slice(change.body.op().name().as_bytes());
        out.put_u8(b'"');
    }

    fn plan(&mut self, table: &Table) -> Arc<Plan> {
        if let Some(plan) = self.plans.get(&table.id) {
            return Arc::clone(plan);
        }
        if self.plans.len() >= MAX_PLANS {
            self.plans.clear();
        }
        let plan = Arc::new(Plan::new(table));
        self.plans.insert(table.id, Arc::clone(&plan));
        plan
    }

    /// Puts the table's plan into `last`.
    #[inline]
    fn find_plan(&mut self, table: &Table) {
        if self.last.as_ref().is_none_or(|(id, _)| *id != table.id) {
            self.last = Some((table.id, self.plan(table)));
        }
    }
}

impl Encoder for NativeJson {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        let start = out.len();
        self.write(change, out).inspect_err(|_| out.truncate(start))
    }
}

/// A run of bytes, when the batch has not outgrown 32 bits.
#[inline]
pub(crate) fn span(start: usize, end: usize) -> Option<Span> {
    Some(Span {
        start: u32::try_from(start).ok()?,
        end: u32::try_from(end).ok()?,
    })
}
