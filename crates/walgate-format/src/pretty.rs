//! A form for people: one aligned line for each change.

mod event;
mod line;
mod row;
mod visible;

use bytes::{BufMut, BytesMut};
use walgate_core::{
    Body, Change, ColumnUse, EncodeError, Encoded, Encoder, Gap, Op, PgMicros, Table,
};

use crate::MaskKey;
use crate::commit_time::write_time;
use crate::native::refusal::too_large;
use crate::native::span;
use crate::type_name::builtin_type_name;
pub use event::PrettyEvents;
use line::{Line, Look};
use row::Row;
use visible::push_visible;

/// What can be chosen of the form for people.
#[derive(Debug, Clone)]
pub struct PrettyOptions {
    /// Whether terminal colours are used.
    pub colour: bool,
    /// Whether the date stands before the time of day. The time is that of the commit, in UTC.
    pub date: bool,
    /// Characters that are shown of a value.
    pub max_value: usize,
    /// The key of masked columns. A change of a table that has some is refused without it.
    pub mask_key: Option<MaskKey>,
}

impl Default for PrettyOptions {
    fn default() -> Self {
        // 40 characters show a UUID and a time stamp whole.
        Self {
            colour: false,
            date: false,
            max_value: 40,
            mask_key: None,
        }
    }
}

/// The encoder of the form for people: time, operation, table, key, what has changed.
///
/// It is meant to be read, not parsed, and may change at any time. Values are PostgreSQL's text,
/// cut short; nothing in the data can act on the terminal, and text that is not UTF-8 is shown as
/// bytes instead of being refused.
#[derive(Debug)]
pub struct Pretty {
    options: PrettyOptions,
    widths: Widths,
    line: Line,
}

/// Room that tables and keys take: as much as any has needed so far, so that lines align.
#[derive(Debug, Clone, Copy)]
struct Widths {
    table: usize,
    key: usize,
}

/// A table or key that is wider stands out instead of pushing all others to the right.
const MAX_WIDTH: usize = 32;
/// Characters of the longest operation, `truncate`.
const OP_WIDTH: usize = 8;

impl Widths {
    /// For short names; they grow with what is met.
    const fn narrow() -> Self {
        Self { table: 12, key: 6 }
    }

    /// Ends the place of a table that began at `start`.
    fn end_table(&mut self, start: usize, line: &mut Line) {
        self.table = self
            .table
            .max(line.width().saturating_sub(start).min(MAX_WIDTH));
        line.align(start + self.table + 2);
    }

    /// Ends the place of a key that began at `start`.
    fn end_key(&mut self, start: usize, line: &mut Line) {
        self.key = self
            .key
            .max(line.width().saturating_sub(start).min(MAX_WIDTH));
        line.align(start + self.key + 2);
    }
}

impl Pretty {
    /// An encoder that has shown nothing yet.
    pub fn new(options: PrettyOptions) -> Self {
        let line = Line::new(options.colour);
        Self {
            options,
            widths: Widths::narrow(),
            line,
        }
    }

    fn write(&mut self, change: &Change<'_>) -> Result<(), EncodeError> {
        self.line.clear();
        self.write_time(change);
        let op = change.body.op();
        self.line.push(look_of(op), op.name());
        let start = self.time_width() + 2 + OP_WIDTH + 2;
        self.line.align(start);
        self.write_subject(change);
        self.widths.end_table(start, &mut self.line);
        if let Some(row) = Row::of(&change.body, &self.options) {
            return row.write(&mut self.widths, &mut self.line);
        }
        self.write_details(&change.body);
        Ok(())
    }

    const fn time_width(&self) -> usize {
        if self.options.date {
            "2026-11-21 09:30:00.123".len()
        } else {
            "09:30:00.123".len()
        }
    }

    fn write_time(&mut self, change: &Change<'_>) {
        if let Some(transaction) = change.transaction {
            let text = time_of(transaction.commit_time, self.options.date);
            self.line.push(Look::Dim, &text);
        }
        self.line.align(self.time_width() + 2);
    }

    /// The table, or what stands in its place.
    fn write_subject(&mut self, change: &Change<'_>) {
        let mut subject = String::new();
        match (change.body, change.body.table()) {
            (_, Some(table)) => {
                push_visible(table.relation.schema.as_bytes(), usize::MAX, &mut subject);
                subject.push('.');
                push_visible(table.relation.name.as_bytes(), usize::MAX, &mut subject);
            }
            (Body::Message { prefix, .. }, None) => {
                push_visible(prefix.as_bytes(), self.options.max_value, &mut subject);
            }
            (Body::Gap(Gap { from, to, .. }), None) => subject = format!("{from} → {to}"),
            (_, None) => {
                if let Some(transaction) = change.transaction {
                    subject = format!("xid {}", transaction.xid);
                }
            }
        }
        self.line.push(Look::Plain, &subject);
    }

    fn write_details(&mut self, body: &Body<'_>) {
        let mut text = String::new();
        let mut look = Look::Plain;
        match body {
            Body::Truncate {
                cascade,
                restart_identity,
                ..
            } => {
                text.push_str(match (cascade, restart_identity) {
                    (true, true) => "cascade, restart identity",
                    (true, false) => "cascade",
                    (false, true) => "restart identity",
                    (false, false) => "",
                });
            }
            Body::Message { content, .. } => {
                // A message has no other columns to leave room for.
                push_visible(content, self.options.max_value.saturating_mul(4), &mut text);
            }
            Body::Schema { table } => push_columns(table, self.options.max_value, &mut text),
            Body::Commit { changes: 1 } => text.push_str("1 change"),
            Body::Commit { changes } => text = format!("{changes} changes"),
            Body::Gap(gap) => {
                look = Look::Alarm;
                text = format!("changes are lost: {}", gap.reason);
            }
            Body::Begin
            | Body::Insert { .. }
            | Body::Read { .. }
            | Body::Update { .. }
            | Body::Delete { .. }
            | Body::Leave { .. } => {}
        }
        self.line.push(look, &text);
    }
}

impl Encoder for Pretty {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        self.write(change)?;
        let start = out.len();
        out.put_slice(self.line.as_str().as_bytes());
        let value = span(start, out.len()).ok_or_else(too_large);
        let value = value.inspect_err(|_| out.truncate(start))?;
        out.put_u8(b'\n');
        Ok(Encoded {
            value,
            key: None,
            old_key: None,
        })
    }
}

const fn look_of(op: Op) -> Look {
    match op {
        Op::Insert | Op::Read => Look::Green,
        Op::Update => Look::Yellow,
        Op::Delete | Op::Leave => Look::Red,
        Op::Truncate => Look::Magenta,
        Op::Message => Look::Cyan,
        Op::Schema | Op::Begin | Op::Commit => Look::Dim,
        Op::Gap => Look::Alarm,
    }
}

/// As [`look_of`], by the name that an operation has in an event.
fn look_of_name(name: &str) -> Look {
    let ops = [
        Op::Insert,
        Op::Read,
        Op::Update,
        Op::Delete,
        Op::Leave,
        Op::Truncate,
        Op::Message,
        Op::Schema,
        Op::Begin,
        Op::Commit,
        Op::Gap,
    ];
    let op = ops.into_iter().find(|op| op.name() == name);
    op.map_or(Look::Plain, look_of)
}

/// Time of day in milliseconds, with the date before it when asked for; a time that is no
/// ordinary date is shown as it is.
fn time_of(time: PgMicros, date: bool) -> String {
    let mut iso = BytesMut::new();
    write_time(time, &mut iso);
    let iso = String::from_utf8_lossy(&iso).into_owned();
    match (iso.split_once('T'), iso.len()) {
        (Some((day, clock)), 27) => {
            let clock = clock.get(..12).unwrap_or(clock);
            if date {
                format!("{day} {clock}")
            } else {
                clock.to_owned()
            }
        }
        _ => iso,
    }
}

fn push_columns(table: &Table, max: usize, out: &mut String) {
    for ((place, column), usage) in (0u16..).zip(&table.relation.columns).zip(&table.columns) {
        if *usage == ColumnUse::Drop {
            continue;
        }
        if !out.is_empty() {
            out.push_str(", ");
        }
        push_visible(column.name.as_bytes(), max, out);
        let known = Some(column.type_name.as_str()).filter(|name| !name.is_empty());
        if let Some(name) = known.or_else(|| builtin_type_name(column.type_oid)) {
            out.push(' ');
            push_visible(name.as_bytes(), max, out);
        }
        if table.key.contains(&place) {
            out.push_str(" key");
        }
    }
}
