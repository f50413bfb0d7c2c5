//! What a person wants to know of a row: its key, and what has changed.

use walgate_core::{
    Body, Column, ColumnUse, EncodeError, OldTuple, Scalar, Shape, Table, Tuple, Value,
};

use super::line::{Line, Look};
use super::visible::push_visible;
use super::{PrettyOptions, Widths};
use crate::native::refusal::Refusal;

/// Columns that a line shows at most: some more than fit on a wide screen.
const MAX_COLUMNS: usize = 24;

/// One row as it is shown.
pub(super) struct Row<'a> {
    table: &'a Table,
    /// What the log holds of the old row: nothing, its key, or all of it.
    old: Option<OldTuple<'a>>,
    new: Option<Tuple<'a>>,
    /// The values of both, to be taken by place.
    before: Vec<Value<'a>>,
    now: Vec<Value<'a>>,
    options: &'a PrettyOptions,
}

impl<'a> Row<'a> {
    /// The row of a change; none for what is not about a row.
    pub(super) fn of(body: &Body<'a>, options: &'a PrettyOptions) -> Option<Self> {
        let (table, old, new) = match *body {
            Body::Insert { table, new } | Body::Read { table, new } => (table, None, Some(new)),
            Body::Update { table, old, new } => (table, old, Some(new)),
            Body::Delete { table, old } | Body::Leave { table, old, .. } => {
                (table, Some(old), None)
            }
            Body::Truncate { .. }
            | Body::Message { .. }
            | Body::Schema { .. }
            | Body::Begin
            | Body::Commit { .. }
            | Body::Gap(_) => return None,
        };
        let values = |tuple: Option<Tuple<'a>>| tuple.into_iter().flatten().collect();
        let (before, now) = (values(old.map(|old| old.tuple())), values(new));
        Some(Self {
            table,
            old,
            new,
            before,
            now,
            options,
        })
    }

    /// Writes the key, aligned, and the other columns.
    pub(super) fn write(&self, widths: &mut Widths, line: &mut Line) -> Result<(), EncodeError> {
        let start = line.column();
        for place in self.table.key.iter().map(|place| usize::from(*place)) {
            if let Some(column) = self.kept(place) {
                let value = self.key_value(place);
                self.write_column(column, place, value, line)?;
            }
        }
        widths.end_key(start, line);
        let others = self.others();
        for (place, column) in others.iter().take(MAX_COLUMNS) {
            match (self.now(*place), self.before(*place)) {
                (Some(now), Some(before)) if self.is_update() => {
                    self.write_change(column, *place, before, now, line)?;
                }
                (Some(now), _) => self.write_column(column, *place, Some(now), line)?,
                (None, before) => self.write_column(column, *place, before, line)?,
            }
        }
        if others.is_empty() && self.is_update() && self.is_full() {
            line.push(Look::Dim, "(no change)");
        }
        if let Some(more @ 1..) = others.len().checked_sub(MAX_COLUMNS) {
            line.push(Look::Dim, &format!("… {more} more columns"));
        }
        Ok(())
    }

    /// The columns that are shown behind the key: those that differ, where that is known.
    fn others(&self) -> Vec<(usize, &'a Column)> {
        let is_shown = |place: &usize| {
            let is_key = self.table.key.iter().any(|key| usize::from(*key) == *place);
            match (self.now(*place), self.before(*place)) {
                (Some(Value::Unchanged), Some(_)) => false,
                (Some(now), Some(before)) if self.is_update() => now != before,
                (Some(_), _) | (_, Some(_)) => !is_key,
                (None, None) => false,
            }
        };
        (0..self.table.relation.columns.len())
            .filter(is_shown)
            .filter_map(|place| Some((place, self.kept(place)?)))
            .collect()
    }

    const fn is_update(&self) -> bool {
        self.new.is_some() && self.old.is_some()
    }

    const fn is_full(&self) -> bool {
        matches!(self.old, Some(OldTuple::Full(_)))
    }

    fn kept(&self, place: usize) -> Option<&'a Column> {
        let usage = self.table.columns.get(place)?;
        (*usage != ColumnUse::Drop).then(|| self.table.relation.columns.get(place))?
    }

    fn now(&self, place: usize) -> Option<Value<'a>> {
        self.now.get(place).copied()
    }

    /// The new value, or the old one where the new one was not sent.
    fn key_value(&self, place: usize) -> Option<Value<'a>> {
        match self.now(place) {
            None | Some(Value::Unchanged) => self.before(place),
            value => value,
        }
    }

    fn before(&self, place: usize) -> Option<Value<'a>> {
        let value = *self.before.get(place)?;
        let is_logged = self.is_full() || self.table.relation.columns.get(place)?.key;
        (is_logged && value != Value::Unchanged).then_some(value)
    }

    /// `name=value`
    fn write_column(
        &self,
        column: &Column,
        place: usize,
        value: Option<Value<'_>>,
        line: &mut Line,
    ) -> Result<(), EncodeError> {
        self.write_name(column, "=", line);
        self.write_value(column, place, value, line)?;
        line.align(0);
        Ok(())
    }

    /// `name: before → now`
    fn write_change(
        &self,
        column: &Column,
        place: usize,
        before: Value<'_>,
        now: Value<'_>,
        line: &mut Line,
    ) -> Result<(), EncodeError> {
        self.write_name(column, ": ", line);
        self.write_value(column, place, Some(before), line)?;
        line.push(Look::Dim, " → ");
        self.write_value(column, place, Some(now), line)?;
        line.align(0);
        Ok(())
    }

    fn write_name(&self, column: &Column, end: &str, line: &mut Line) {
        let mut name = String::new();
        push_visible(column.name.as_bytes(), self.options.max_value, &mut name);
        name.push_str(end);
        line.push(Look::Dim, &name);
    }

    fn write_value(
        &self,
        column: &Column,
        place: usize,
        value: Option<Value<'_>>,
        line: &mut Line,
    ) -> Result<(), EncodeError> {
        let text = match value {
            Some(Value::Text(text)) => text,
            Some(Value::Null) => {
                line.push(Look::Dim, "null");
                return Ok(());
            }
            Some(Value::Unchanged) => {
                line.push(Look::Dim, "(unchanged)");
                return Ok(());
            }
            Some(Value::Binary(_)) => {
                line.push(Look::Dim, "(binary)");
                return Ok(());
            }
            None => {
                line.push(Look::Dim, "?");
                return Ok(());
            }
        };
        let mut shown = String::new();
        if self.table.columns.get(place) == Some(&ColumnUse::Mask) {
            let mask = self.options.mask_key.as_ref();
            let mask = mask.ok_or_else(|| Refusal::NoMaskKey.in_column(&column.name))?;
            let mut hash = bytes::BytesMut::new();
            mask.write(text, &mut hash);
            push_visible(&hash, self.options.max_value, &mut shown);
        } else {
            push_text(column, text, self.options.max_value, &mut shown);
        }
        line.push(Look::Plain, &shown);
        Ok(())
    }
}

/// Text that could be taken for something else is quoted.
fn push_text(column: &Column, text: &[u8], max: usize, out: &mut String) {
    let is_unclear = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'\'' | b'=');
    let quoted = column.shape == Shape::Scalar(Scalar::Text)
        && (text.is_empty() || text == b"null" || text.iter().take(max).any(is_unclear));
    if quoted {
        out.push('\'');
    }
    push_visible(text, max, out);
    if quoted {
        out.push('\'');
    }
}
