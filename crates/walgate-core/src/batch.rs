//! A batch: what a sink gets.

use std::sync::Arc;

use bytes::BytesMut;

use crate::{Encoded, Op, Position, Table};

/// A run of bytes within [`Batch::bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// Its length in bytes.
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds nothing.
    pub const fn is_empty(self) -> bool {
        self.end == self.start
    }
}

/// One event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Where it stands in the log. Positions never fall within a batch; a `schema` has the
    /// position of the event before it.
    pub position: Position,
    /// What it says.
    pub op: Op,
    /// Its table's place in [`Batch::tables`].
    pub table: Option<u16>,
    /// The key object.
    pub key: Option<Span>,
    /// The old key object, when the key has changed.
    pub old_key: Option<Span>,
    /// The event.
    pub value: Span,
}

/// Encoded events in the order of the log. It is filled by a chain, taken by a sink, and reused.
#[derive(Debug, Default)]
pub struct Batch {
    /// The bytes of all events. The values stand one behind the other, each followed by what the
    /// encoder's framing appends (a line feed for JSON lines).
    pub bytes: BytesMut,
    /// The events.
    pub records: Vec<Record>,
    /// The tables of the events.
    pub tables: Vec<Arc<Table>>,
}

impl Batch {
    /// Whether it holds no event.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Position of the last event.
    pub fn last(&self) -> Option<Position> {
        self.records.last().map(|record| record.position)
    }

    /// The bytes of a span of this batch; empty if it is not of this batch.
    #[inline]
    pub fn slice(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// The table of a record of this batch.
    pub fn table(&self, record: &Record) -> Option<&Arc<Table>> {
        self.tables.get(usize::from(record.table?))
    }

    /// Appends an event that an encoder has just written behind [`bytes`](Self::bytes).
    #[inline]
    pub fn push(
        &mut self,
        position: Position,
        op: Op,
        table: Option<&Arc<Table>>,
        encoded: Encoded,
    ) {
        let table = table.map(|table| self.place_of(table));
        self.records.push(Record {
            position,
            op,
            table,
            key: encoded.key,
            old_key: encoded.old_key,
            value: encoded.value,
        });
    }

    /// Takes everything out, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.tables.clear();
    }

    fn place_of(&mut self, table: &Arc<Table>) -> u16 {
        // From the end: a run of rows is mostly of one table.
        let found = self.tables.iter().rposition(|known| known.id == table.id);
        let place = found.unwrap_or_else(|| {
            self.tables.push(Arc::clone(table));
            self.tables.len() - 1
        });
        // A chain cuts a batch at Batch::MAX_TABLES.
        place as u16
    }

    /// Most tables in a batch, so that a place fits into 16 bits.
    pub const MAX_TABLES: usize = 1 << 12;
}
