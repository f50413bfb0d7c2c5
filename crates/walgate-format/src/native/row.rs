//! insert, update and delete.

use bytes::{BufMut, BytesMut};
use walgate_core::{EncodeError, Encoded, OldTuple, Span, Tuple, Value};

use super::plan::{Form, Plan, PlannedColumn};
use super::refusal::{Refusal, too_large, wrong_count};
use super::{NativeJsonOptions, span};
use crate::value::write_value;

/// A row as it is encoded: which table, what there is of it.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) plan: &'a Plan,
    pub(super) options: &'a NativeJsonOptions,
    pub(super) old: Option<OldTuple<'a>>,
    pub(super) new: Option<Tuple<'a>>,
}

/// Where parts of the event lie, from the batch's first byte.
#[derive(Debug, Default)]
pub(super) struct Parts {
    key: Option<(usize, usize)>,
    before: Option<(usize, usize)>,
}

fn encoded(
    value: (usize, usize),
    key: Option<(usize, usize)>,
    old_key: Option<(usize, usize)>,
) -> Result<Encoded, EncodeError> {
    let to_span = |(start, end)| span(start, end).ok_or_else(too_large);
    let optional = |range: Option<(usize, usize)>| -> Result<Option<Span>, EncodeError> {
        range.map(to_span).transpose()
    };
    Ok(Encoded {
        value: to_span(value)?,
        key: optional(key)?,
        old_key: optional(old_key)?,
    })
}

impl<'a> Row<'a> {
    /// Appends `,"key":…,"before":…,"after":…,"unchanged":…`, as far as they apply.
    #[inline]
    pub(super) fn write(&self, out: &mut BytesMut) -> Result<Parts, EncodeError> {
        self.check_counts()?;
        let mut parts = Parts::default();
        if !self.plan.key.is_empty() {
            out.put_slice(b",\"key\":");
            parts.key = Some(self.write_key(out)?);
        }
        if let Some(old) = self.old
            && self.has_before(old)
        {
            out.put_slice(b",\"before\":");
            parts.before = Some(self.write_before(old, out)?);
        }
        if let Some(new) = self.new {
            out.put_slice(b",\"after\":");
            if self.write_after(new, out)? {
                self.write_unchanged(new, out);
            }
        }
        Ok(parts)
    }

    /// What there is to be said of the event that lies from `start` to the end of `out`, line
    /// feed included. Appends the old key where it has to stand by itself.
    #[inline]
    pub(super) fn finish(
        &self,
        parts: &Parts,
        start: usize,
        out: &mut BytesMut,
    ) -> Result<Encoded, EncodeError> {
        let end = out.len() - 1;
        let old_key = match (self.options.old_keys, self.old, self.new) {
            (true, Some(old), Some(new)) if self.is_key_changed(old, new) => match parts.before {
                Some(before) if self.plan.key_is_identity && is_key(old) => Some(before),
                _ => Some(self.write_old_key(old, out)?),
            },
            _ => None,
        };
        encoded((start, end), parts.key, old_key)
    }

    /// The same for an event that has nothing but its key.
    pub(super) fn end(
        &self,
        key: Option<(usize, usize)>,
        start: usize,
        out: &BytesMut,
    ) -> Result<Encoded, EncodeError> {
        encoded((start, out.len() - 1), key, None)
    }

    #[inline]
    fn check_counts(&self) -> Result<(), EncodeError> {
        let expected = self.plan.columns.len();
        let tuples = [self.new, self.old.map(|old| old.tuple())];
        match tuples
            .into_iter()
            .flatten()
            .find(|tuple| tuple.len() != expected)
        {
            Some(tuple) => Err(wrong_count(tuple.len(), expected)),
            None => Ok(()),
        }
    }

    /// The key of the new row, with what it lacks (an unchanged TOASTed column) from the old one;
    /// of a delete the key of the old row.
    fn write_key(&self, out: &mut BytesMut) -> Result<(usize, usize), EncodeError> {
        let start = out.len();
        for (place, column) in self.key_columns() {
            let value = match self.new.and_then(|new| new.iter().nth(place)) {
                None | Some(Value::Unchanged) => logged(self.old, place, column),
                value => value,
            };
            let value = value.ok_or_else(|| column.refuse(Refusal::NotLogged))?;
            self.write_column(column, value, out)?;
        }
        Ok(close_object(start, out))
    }

    /// The key that a row had when it matched, and of what the log does not hold the new one.
    pub(super) fn write_leaving_key(
        &self,
        out: &mut BytesMut,
    ) -> Result<Option<(usize, usize)>, EncodeError> {
        self.check_counts()?;
        if self.plan.key.is_empty() {
            return Ok(None);
        }
        out.put_slice(b",\"key\":");
        let start = out.len();
        for (place, column) in self.key_columns() {
            let new = self.new.and_then(|new| new.iter().nth(place));
            let value = logged(self.old, place, column).or(new);
            let value = value.ok_or_else(|| column.refuse(Refusal::NotLogged))?;
            self.write_column(column, value, out)?;
        }
        Ok(Some(close_object(start, out)))
    }

    fn write_old_key(
        &self,
        old: OldTuple<'a>,
        out: &mut BytesMut,
    ) -> Result<(usize, usize), EncodeError> {
        let start = out.len();
        for (place, column) in self.key_columns() {
            let value = logged(Some(old), place, column)
                .ok_or_else(|| column.refuse(Refusal::NotLogged))?;
            self.write_column(column, value, out)?;
        }
        Ok(close_object(start, out))
    }

    /// Whether the key's values differ. Only where the log holds all of the old ones: a
    /// configured key outside the replica identity is not known to change.
    fn is_key_changed(&self, old: OldTuple<'a>, new: Tuple<'a>) -> bool {
        let mut changed = false;
        for (place, column) in self.key_columns() {
            let Some(before) = logged(Some(old), place, column) else {
                return false;
            };
            changed |= match new.iter().nth(place) {
                None | Some(Value::Unchanged) => false,
                Some(after) => before != after,
            };
        }
        changed
    }

    /// A whole old row is always told. An old key is told of a delete, and of an update that
    /// changes one of its values: PostgreSQL also sends it when an unchanged key column is
    /// stored externally.
    fn has_before(&self, old: OldTuple<'a>) -> bool {
        let OldTuple::Key(before) = old else {
            return true;
        };
        let mut identity = (self.plan.columns.iter().zip(before.iter()).enumerate())
            .filter(|(_, (column, _))| column.identity && column.is_kept());
        match self.new {
            None => identity.next().is_some(),
            Some(new) => identity.any(|(place, (_, before))| {
                let after = new.iter().nth(place);
                !matches!(after, None | Some(Value::Unchanged)) && after != Some(before)
            }),
        }
    }

    fn write_before(
        &self,
        old: OldTuple<'a>,
        out: &mut BytesMut,
    ) -> Result<(usize, usize), EncodeError> {
        let start = out.len();
        for (column, value) in self.plan.columns.iter().zip(old.tuple().iter()) {
            if value != Value::Unchanged && (column.identity || !is_key(old)) {
                self.write_column(column, value, out)?;
            }
        }
        Ok(close_object(start, out))
    }

    /// Returns whether columns had to be left out because neither row holds them.
    #[inline]
    fn write_after(&self, new: Tuple<'a>, out: &mut BytesMut) -> Result<bool, EncodeError> {
        let start = out.len();
        let mut unchanged = false;
        let mut olds = self.old.map(|old| old.tuple().iter());
        for (column, value) in self.plan.columns.iter().zip(new.iter()) {
            let before = olds.as_mut().and_then(Iterator::next);
            match self.filled(column, value, before) {
                Value::Unchanged => unchanged |= column.is_kept(),
                value => self.write_column(column, value, out)?,
            }
        }
        close_object(start, out);
        Ok(unchanged)
    }

    #[inline(never)]
    fn write_unchanged(&self, new: Tuple<'a>, out: &mut BytesMut) {
        out.put_slice(b",\"unchanged\":[");
        let mut olds = self.old.map(|old| old.tuple().iter());
        let mut first = true;
        for (column, value) in self.plan.columns.iter().zip(new.iter()) {
            let before = olds.as_mut().and_then(Iterator::next);
            if column.is_kept() && self.filled(column, value, before) == Value::Unchanged {
                if !std::mem::take(&mut first) {
                    out.put_u8(b',');
                }
                out.put_slice(column.quoted_name());
            }
        }
        out.put_u8(b']');
    }

    /// The new value, or the old one where the new one was not sent and the old one was.
    #[inline]
    fn filled(
        &self,
        column: &PlannedColumn,
        value: Value<'a>,
        before: Option<Value<'a>>,
    ) -> Value<'a> {
        match (value, before, self.old) {
            (Value::Unchanged, Some(before), Some(old)) if column.identity || !is_key(old) => {
                before
            }
            _ => value,
        }
    }

    fn key_columns(&self) -> impl Iterator<Item = (usize, &'a PlannedColumn)> {
        let plan = self.plan;
        plan.key
            .iter()
            .filter_map(|place| Some((*place, plan.columns.get(*place)?)))
    }

    /// Appends `,"name":value`.
    #[inline]
    fn write_column(
        &self,
        column: &PlannedColumn,
        value: Value<'_>,
        out: &mut BytesMut,
    ) -> Result<(), EncodeError> {
        let written = match (column.form, value) {
            (Form::Dropped, _) => return Ok(()),
            (Form::Shape(shape), Value::Text(text)) => {
                out.put_slice(&column.lead);
                write_value(shape, self.options.int8, text, out).map_err(Refusal::Value)
            }
            (_, Value::Null) => {
                out.put_slice(&column.lead);
                out.put_slice(b"null");
                Ok(())
            }
            (Form::Masked, Value::Text(text)) => self.write_masked(column, text, out),
            (_, Value::Binary(_)) => Err(Refusal::Binary),
            (_, Value::Unchanged) => Err(Refusal::NotLogged),
        };
        written.map_err(|refusal| column.refuse(refusal))
    }

    #[inline(never)]
    fn write_masked(
        &self,
        column: &PlannedColumn,
        text: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        let mask = self.options.mask_key.as_ref().ok_or(Refusal::NoMaskKey)?;
        out.put_slice(&column.lead);
        out.put_u8(b'"');
        mask.write(text, out);
        out.put_u8(b'"');
        Ok(())
    }
}

const fn is_key(old: OldTuple<'_>) -> bool {
    matches!(old, OldTuple::Key(_))
}

/// What the log holds of a column of the old row.
fn logged<'a>(
    old: Option<OldTuple<'a>>,
    place: usize,
    column: &PlannedColumn,
) -> Option<Value<'a>> {
    let old = old?;
    let value = old.tuple().iter().nth(place)?;
    (value != Value::Unchanged && (column.identity || !is_key(old))).then_some(value)
}

/// Makes an object of the `,"name":value` that were appended from `start` on.
#[inline]
fn close_object(start: usize, out: &mut BytesMut) -> (usize, usize) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.put_u8(b'{'),
    }
    out.put_u8(b'}');
    (start, out.len())
}
