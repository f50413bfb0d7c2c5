//! Rows whose values the server has sent in binary form, into the messages that it would have sent
//! without `binary 'true'`.
//!
//! It stands between the socket and the sequencer, so that nothing behind it knows the difference:
//! journal, filters and encoders see the same bytes, whichever form the server was asked for. What has
//! no certain text here ends the connection, and the next one asks for text.

mod definitions;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use walgate_binary::{Form, TypeCatalog};
use walgate_core::Oid;
use walgate_pgoutput::{
    CopyFrame, Dialect, Message, OldTuple, Tag, Tuple, Value, XLOG_DATA_HEADER, tag,
};

use crate::buffer::{HEADER, Run, WireMessage, message_at};
use definitions::Definitions;

/// Why values have to come as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Untold {
    /// A table has a column of a type whose binary form is not known.
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        type_oid: Oid,
    },
    /// A value of a table is not certain.
    Value(Oid),
    /// The server can't send a type in binary form; what it said.
    Server(String),
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type {
                table,
                column,
                type_oid,
            } => write!(
                f,
                "column {column} of {table} has a type (oid {type_oid}) whose binary form is not known"
            ),
            Self::Value(oid) => write!(
                f,
                "a value of the table with oid {oid} has a binary form that is not known"
            ),
            Self::Server(error) => {
                write!(f, "the server can't send a value in binary form: {error}")
            }
        }
    }
}

/// What one connection has told of its rows.
pub(crate) struct Transcript {
    dialect: Dialect,
    types: TypeCatalog,
    definitions: Definitions,
    /// The longest message that is made, in bytes.
    max_message: usize,
    out: Vec<u8>,
    /// What `out` has room for at first, in bytes.
    size: usize,
}

impl Transcript {
    /// For a connection that was begun with `dialect`. `read` is what a read brings at most, in bytes.
    pub(crate) fn new(
        dialect: Dialect,
        types: TypeCatalog,
        read: usize,
        max_message: usize,
    ) -> Self {
        // A number of four bytes has up to eleven digits; most rows grow by less than a half.
        let size = read.saturating_mul(2);
        Self {
            dialect,
            types,
            definitions: Definitions::default(),
            max_message,
            out: Vec::with_capacity(size),
            size,
        }
    }

    /// The same run with values as text, up to the first message for which there is none.
    pub(crate) fn take(&mut self, run: &Run) -> (Run, Option<Untold>) {
        let mut at = 0;
        let mut untold = None;
        while let Some((message, next)) = message_at(&run.bytes, at) {
            let start = self.out.len();
            match self.message(message) {
                Ok(Taken::Written) => self.set_length(start),
                Ok(Taken::AsItIs) => {
                    let whole = run.bytes.get(at..next).unwrap_or_default();
                    self.out.extend_from_slice(whole);
                }
                Err(why) => {
                    self.out.truncate(start);
                    untold = Some(why);
                    break;
                }
            }
            at = next;
        }
        (self.hand_over(), untold)
    }

    /// What is short is copied, so that the buffer goes on being used; more goes on without the room
    /// that is left.
    fn hand_over(&mut self) -> Run {
        let bytes = if self.out.len() < self.size / 4 {
            let bytes = Bytes::copy_from_slice(&self.out);
            self.out.clear();
            bytes
        } else {
            let mut out = std::mem::replace(&mut self.out, Vec::with_capacity(self.size));
            out.shrink_to_fit();
            Bytes::from(out)
        };
        Run {
            pinned: bytes.len(),
            bytes,
        }
    }

    fn set_length(&mut self, start: usize) {
        // Messages are shorter than `max_message`, which is checked, and that has 31 bits.
        let len = u32::try_from(self.out.len() - start - 1).unwrap_or(u32::MAX);
        set_length(&mut self.out, start + 1, len);
    }

    /// What can't be decoded goes on as it is: the sequencer says what is wrong with it.
    fn message(&mut self, message: WireMessage<'_>) -> Result<Taken, Untold> {
        let Ok(CopyFrame::XLogData { payload, .. }) = CopyFrame::decode(message.body) else {
            return Ok(Taken::AsItIs);
        };
        let in_stream = self.definitions.in_stream();
        match tag(payload) {
            Some(
                Tag::Insert
                | Tag::Update
                | Tag::Delete
                | Tag::Relation
                | Tag::StreamStart
                | Tag::StreamStop
                | Tag::StreamAbort
                | Tag::StreamCommit,
            ) => {}
            _ => return Ok(Taken::AsItIs),
        }
        let Ok(decoded) = walgate_pgoutput::decode(payload, self.dialect, in_stream) else {
            return Ok(Taken::AsItIs);
        };
        let (relation, old, new) = match decoded {
            Message::Insert { relation, new, .. } => (relation, None, Some(new)),
            Message::Update {
                relation, old, new, ..
            } => (relation, old, Some(new)),
            Message::Delete { relation, old, .. } => (relation, Some(old), None),
            other => {
                self.definitions.learn(&other, &self.types)?;
                return Ok(Taken::AsItIs);
            }
        };
        let Some(forms) = self.definitions.forms(relation) else {
            return Ok(Taken::AsItIs);
        };
        let start = self.out.len();
        let xid = if in_stream { 4 } else { 0 };
        // Tag and length, the header of XLogData, tag, xid and relation.
        let head = HEADER + XLOG_DATA_HEADER + 1 + xid + 4;
        self.out.push(message.tag);
        self.out.extend_from_slice(&[0; HEADER - 1]);
        let fixed = message.body.get(..head - HEADER).unwrap_or_default();
        self.out.extend_from_slice(fixed);
        let limit = start.saturating_add(self.max_message);
        let mut row = Row {
            forms: &forms,
            out: &mut self.out,
            limit,
        };
        row.write(old, new).map_err(|_| Untold::Value(relation))?;
        Ok(Taken::Written)
    }
}

enum Taken {
    /// It was written anew; only its length is missing.
    Written,
    /// It has to be copied.
    AsItIs,
}

/// A row that is being written.
struct Row<'a> {
    forms: &'a Arc<[Form]>,
    out: &'a mut Vec<u8>,
    /// Where the buffer may end at most.
    limit: usize,
}

/// It has no certain text, or one that is too long.
struct Unwritten;

impl Row<'_> {
    fn write(
        &mut self,
        old: Option<OldTuple<'_>>,
        new: Option<Tuple<'_>>,
    ) -> Result<(), Unwritten> {
        if let Some(old) = old {
            let (kind, tuple) = match old {
                OldTuple::Key(tuple) => (b'K', tuple),
                OldTuple::Full(tuple) => (b'O', tuple),
            };
            self.out.push(kind);
            self.tuple(tuple)?;
        }
        if let Some(new) = new {
            self.out.push(b'N');
            self.tuple(new)?;
        }
        if self.out.len() > self.limit {
            return Err(Unwritten);
        }
        Ok(())
    }

    #[inline]
    fn tuple(&mut self, tuple: Tuple<'_>) -> Result<(), Unwritten> {
        let count = u16::try_from(tuple.len()).map_err(|_| Unwritten)?;
        if tuple.len() != self.forms.len() {
            return Err(Unwritten);
        }
        self.out.extend_from_slice(&count.to_be_bytes());
        for (value, form) in tuple.iter().zip(self.forms.iter()) {
            match value {
                Value::Null => self.out.push(b'n'),
                Value::Unchanged => self.out.push(b'u'),
                Value::Text(bytes) => self.value(|out| {
                    out.extend_from_slice(bytes);
                    Ok(())
                })?,
                Value::Binary(bytes) => {
                    self.value(|out| form.write(bytes, out).map_err(|_| Unwritten))?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn value(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), Unwritten>,
    ) -> Result<(), Unwritten> {
        self.out.extend_from_slice(b"t\0\0\0\0");
        let start = self.out.len();
        write(self.out)?;
        let len = i32::try_from(self.out.len() - start).map_err(|_| Unwritten)?;
        set_length(self.out, start - 4, len.cast_unsigned());
        Ok(())
    }
}

#[inline]
fn set_length(out: &mut [u8], at: usize, len: u32) {
    if let Some(field) = out.get_mut(at..at + 4) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
