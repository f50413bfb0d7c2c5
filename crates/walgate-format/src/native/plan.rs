//! What is derived from a table once: the pieces of its events that are the same in each row.

use bytes::{BufMut, BytesMut};
use walgate_core::{ColumnUse, EncodeError, Op, Shape, Table};

use super::refusal::Refusal;
use crate::escape::write_str;

/// How a column's values are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// In the form of its type.
    Shape(Shape),
    /// As a keyed hash.
    Masked,
    /// Not at all.
    Dropped,
}

/// A column of a [`Plan`].
#[derive(Debug)]
pub(super) struct PlannedColumn {
    /// `,"name":`, escaped.
    pub(super) lead: Box<[u8]>,
    pub(super) form: Form,
    /// Whether an old key ([`OldTuple::Key`](walgate_core::OldTuple::Key)) holds the column.
    pub(super) identity: bool,
    /// The name, for errors.
    pub(super) name: Box<str>,
}

impl PlannedColumn {
    pub(super) const fn is_kept(&self) -> bool {
        !matches!(self.form, Form::Dropped)
    }

    /// `"name"`, escaped.
    pub(super) fn quoted_name(&self) -> &[u8] {
        self.lead.get(1..self.lead.len() - 1).unwrap_or_default()
    }

    #[cold]
    pub(super) fn refuse(&self, refusal: Refusal) -> EncodeError {
        refusal.in_column(&self.name)
    }
}

/// The pieces of a table's events.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) insert: Box<[u8]>,
    /// `{"op":"read","schema":"…","table":"…"`: it is no place to resume from, and has no id.
    pub(super) read: Box<[u8]>,
    pub(super) update: Box<[u8]>,
    pub(super) delete: Box<[u8]>,
    pub(super) leave: Box<[u8]>,
    pub(super) truncate: Box<[u8]>,
    /// `{"op":"schema","schema":"…","table":"…"`: a schema event has no id.
    pub(super) schema: Box<[u8]>,
    /// All columns of the relation, in its order.
    pub(super) columns: Box<[PlannedColumn]>,
    /// Places of the key's columns that are kept, in the order of the key.
    pub(super) key: Box<[usize]>,
    /// Whether the key is exactly what an old key holds, in the same order: then `before` and the
    /// old key are the same bytes.
    pub(super) key_is_identity: bool,
}

impl Plan {
    pub(super) fn new(table: &Table) -> Self {
        let relation = &table.relation;
        let head = |op: Op| {
            let mut out = BytesMut::new();
            if matches!(op, Op::Schema | Op::Read) {
                out.put_slice(b"{\"op\":\"");
            } else {
                out.put_slice(b"\",\"op\":\"");
            }
            out.put_slice(op.name().as_bytes());
            out.put_slice(b"\",\"schema\":");
            write_str(&relation.schema, &mut out);
            out.put_slice(b",\"table\":");
            write_str(&relation.name, &mut out);
            Box::from(&*out)
        };
        let columns: Box<[PlannedColumn]> = (0..relation.columns.len())
            .filter_map(|place| planned_column(table, place))
            .collect();
        let is_kept = |place: &usize| columns.get(*place).is_some_and(PlannedColumn::is_kept);
        let key: Box<[usize]> = table
            .key
            .iter()
            .map(|place| usize::from(*place))
            .filter(is_kept)
            .collect();
        let identity = (0..columns.len())
            .filter(|place| is_kept(place) && columns.get(*place).is_some_and(|c| c.identity));
        Self {
            insert: head(Op::Insert),
            read: head(Op::Read),
            update: head(Op::Update),
            delete: head(Op::Delete),
            leave: head(Op::Leave),
            truncate: head(Op::Truncate),
            schema: head(Op::Schema),
            key_is_identity: key.iter().copied().eq(identity),
            columns,
            key,
        }
    }
}

fn planned_column(table: &Table, place: usize) -> Option<PlannedColumn> {
    let column = table.relation.columns.get(place)?;
    let mut lead = BytesMut::new();
    lead.put_u8(b',');
    write_str(&column.name, &mut lead);
    lead.put_u8(b':');
    // A use that is missing would let through what was to be dropped: leave the column out.
    let form = match table.columns.get(place) {
        Some(ColumnUse::Keep) => Form::Shape(column.shape),
        Some(ColumnUse::Mask) => Form::Masked,
        Some(ColumnUse::Drop) | None => Form::Dropped,
    };
    Some(PlannedColumn {
        lead: Box::from(&*lead),
        form,
        identity: column.key,
        name: column.name.as_str().into(),
    })
}
