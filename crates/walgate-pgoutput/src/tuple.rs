//! TupleData: the values of one row.
//!
//! `Int16` number of columns, then for each column a kind: `n` (null), `u` (a TOASTed value that
//! was not changed and is not sent), `t` (text) or `b` (binary), the last two with an `Int32`
//! length and that many bytes.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, MessageKind};
use crate::reader::Reader;
use crate::writer::put_sized;

/// The most columns that a table can have: `MaxHeapAttributeNumber` in `access/htup_details.h`.
pub const MAX_COLUMNS: u16 = 1600;

/// The values of one row, borrowed from the message. All lengths were checked when it was
/// decoded, so reading the values cannot fail.
///
/// A tuple has as many values as its relation has columns. In an old key ([`OldTuple::Key`]) the
/// columns outside the key are sent as null and mean nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    /// How many values `values` holds.
    count: u16,
    /// Exactly `count` well-formed values.
    values: &'a [u8],
}

/// One value of a tuple. The bytes are as the server sent them: not checked to be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A TOASTed value that the update did not touch: it is not NULL, it was not sent.
    Unchanged,
    /// The type's text form in the client encoding.
    Text(&'a [u8]),
    /// The type's binary form; only with the option `binary`.
    Binary(&'a [u8]),
}

/// What the log holds of the row as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// `K`: the columns of the replica identity.
    Key(Tuple<'a>),
    /// `O`: the whole row, under REPLICA IDENTITY FULL.
    Full(Tuple<'a>),
}

impl<'a> Tuple<'a> {
    /// Checks and borrows a tuple that stands by itself: count and values, nothing behind.
    ///
    /// # Errors
    /// When the bytes are not exactly one tuple.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, MessageKind::Fragment);
        let tuple = Self::read(&mut reader)?;
        reader.end()?;
        Ok(tuple)
    }

    /// How many values it has.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether it has no values: a table without columns is legal.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in column order.
    #[inline]
    #[must_use]
    pub const fn iter(&self) -> Values<'a> {
        Values {
            count: self.count,
            reader: Reader::new(self.values, MessageKind::Fragment),
        }
    }

    /// The one pass over a tuple that checks it.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let at = reader.offset();
        let count = reader.u16("column count")?;
        // A value takes at least its kind.
        let possible = u16::try_from(reader.rest().len())
            .unwrap_or(u16::MAX)
            .min(MAX_COLUMNS);
        if count > possible {
            let kind = DecodeErrorKind::CountTooLarge {
                count: count.into(),
                max: possible.into(),
            };
            return Err(reader.error_at(at, "column count", kind));
        }
        let start = *reader;
        for _ in 0..count {
            skip_value(reader)?;
        }
        let len = reader.offset().saturating_sub(start.offset());
        let values = start.rest().get(..len).unwrap_or_default();
        Ok(Self { count, values })
    }

    pub(crate) fn write(&self, buf: &mut BytesMut) {
        buf.put_u16(self.count);
        buf.put_slice(self.values);
    }
}

#[inline]
fn skip_value(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.u8("column kind")? {
        b't' | b'b' => reader.sized("column value").map(|_| ()),
        b'n' | b'u' => Ok(()),
        kind => Err(reader.unknown_kind("column kind", kind)),
    }
}

impl<'a> IntoIterator for Tuple<'a> {
    type Item = Value<'a>;
    type IntoIter = Values<'a>;

    #[inline]
    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Tuple<'a> {
    type Item = Value<'a>;
    type IntoIter = Values<'a>;

    #[inline]
    fn into_iter(self) -> Values<'a> {
        self.iter()
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The values of a tuple, in column order.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    count: u16,
    reader: Reader<'a>,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    /// The bytes were checked before, so the early ends below are never taken.
    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        self.count = self.count.checked_sub(1)?;
        match self.reader.u8("column kind").ok()? {
            b't' => self.reader.sized("column value").ok().map(Value::Text),
            b'n' => Some(Value::Null),
            b'u' => Some(Value::Unchanged),
            _ => self.reader.sized("column value").ok().map(Value::Binary),
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Values<'_> {}

impl<'a> OldTuple<'a> {
    /// The values, whichever they are.
    #[inline]
    #[must_use]
    pub const fn tuple(&self) -> Tuple<'a> {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => *tuple,
        }
    }
}

/// Values in the form of the wire, for those who send messages: tests and mock servers.
#[derive(Clone, Debug, Default)]
pub struct TupleBuf {
    count: u16,
    values: Vec<u8>,
}

impl TupleBuf {
    /// A tuple without values.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            values: Vec::new(),
        }
    }

    /// Adds the value of the next column.
    ///
    /// # Errors
    /// When there are [`MAX_COLUMNS`] values already, or the value's length does not fit the wire.
    pub fn push(&mut self, value: Value<'_>) -> Result<(), EncodeError> {
        if self.count >= MAX_COLUMNS {
            return Err(EncodeError::TooMany { field: "columns" });
        }
        let (kind, bytes) = match value {
            Value::Null => (b'n', None),
            Value::Unchanged => (b'u', None),
            Value::Text(bytes) => (b't', Some(bytes)),
            Value::Binary(bytes) => (b'b', Some(bytes)),
        };
        let start = self.values.len();
        self.values.push(kind);
        if let Some(bytes) = bytes {
            put_sized(&mut self.values, "column value", bytes)
                .inspect_err(|_| self.values.truncate(start))?;
        }
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// The tuple, as it would have been decoded.
    #[must_use]
    pub fn as_tuple(&self) -> Tuple<'_> {
        Tuple {
            count: self.count,
            values: &self.values,
        }
    }
}
