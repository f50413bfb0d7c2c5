//! Relation and Type: what the rows that follow belong to.
//!
//! `Byte1('R')`, in a stream block `Int32` xid, `Int32` oid, `String` name space (empty for
//! `pg_catalog`), `String` name, `Int8` replica identity, `Int16` number of columns, and for each
//! column `Int8` flags (1: part of the replica identity), `String` name, `Int32` type oid, `Int32`
//! type modifier. `Byte1('Y')`, xid, `Int32` oid, `String` name space, `String` name.

use alloc::vec::Vec;
use core::fmt;

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, MessageKind};
use crate::message::Message;
use crate::reader::Reader;
use crate::tuple::MAX_COLUMNS;
use crate::writer::put_str;
use crate::{Oid, Xid};

/// `LOGICALREP_IS_REPLICA_IDENTITY` in `proto.c`, the only flag of a column.
const KEY_FLAG: u8 = 1;

/// The fewest bytes of a column: flags, a string of its zero byte, two 32-bit numbers.
const MIN_COLUMN_LEN: usize = 10;

/// A table as it is from here on, until its next Relation message. The server sends it before the
/// table's first row in a connection and after each change of its definition; inside a streamed
/// transaction again for that transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationBody<'a> {
    /// The transaction (or sub-transaction); only inside a stream block.
    pub xid: Option<Xid>,
    /// The table's oid, which the rows refer to.
    pub oid: Oid,
    /// The name space, unquoted. Empty stands for `pg_catalog`.
    pub namespace: &'a str,
    /// The table's name, unquoted.
    pub name: &'a str,
    /// What updates and deletes log of the old row.
    pub identity: ReplicaIdentity,
    /// The published columns in table order.
    pub columns: Columns<'a>,
}

/// `pg_class.relreplident`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaIdentity {
    /// `d`: the primary key, where there is one.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: the whole row.
    Full,
    /// `i`: the columns of a unique index.
    Index,
}

impl ReplicaIdentity {
    /// The kind of a letter, if it is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'd' => Some(Self::Default),
            b'n' => Some(Self::Nothing),
            b'f' => Some(Self::Full),
            b'i' => Some(Self::Index),
            _ => None,
        }
    }

    /// The letter on the wire and in the catalog.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Default => b'd',
            Self::Nothing => b'n',
            Self::Full => b'f',
            Self::Index => b'i',
        }
    }
}

/// A column of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Whether it is part of the replica identity. With FULL every column is.
    pub key: bool,
    /// The name, unquoted.
    pub name: &'a str,
    /// The type's oid; of a domain the domain's.
    pub type_oid: Oid,
    /// The type modifier (`atttypmod`), -1 when there is none.
    pub typmod: i32,
}

/// The columns of a relation: a list that is read as it is walked. Copies are cheap and walk
/// from where the original stands.
#[derive(Clone, Copy)]
pub struct Columns<'a> {
    count: u16,
    reader: Reader<'a>,
}

impl<'a> Columns<'a> {
    /// The same columns; the list itself stays where it is.
    #[inline]
    #[must_use]
    pub const fn iter(&self) -> Self {
        *self
    }

    /// Whether there is none (left).
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) const fn column_count(&self) -> u16 {
        self.count
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let at = reader.offset();
        let count = reader.u16("column count")?;
        let possible = u16::try_from(reader.rest().len() / MIN_COLUMN_LEN)
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
            read_column(reader)?;
        }
        let len = reader.offset().saturating_sub(start.offset());
        let bytes = start.rest().get(..len).unwrap_or_default();
        Ok(Self {
            count,
            reader: Reader::new(bytes, MessageKind::Fragment),
        })
    }

    fn write(&self, buf: &mut BytesMut) {
        buf.put_u16(self.count);
        buf.put_slice(self.reader.rest());
    }
}

fn read_column<'a>(reader: &mut Reader<'a>) -> Result<Column<'a>, DecodeError> {
    Ok(Column {
        key: reader.flags("column flags", KEY_FLAG)? == KEY_FLAG,
        name: reader.str("column name")?,
        type_oid: reader.u32("column type")?,
        typmod: reader.i32("column type modifier")?,
    })
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    /// The bytes were checked before, so the early end on an error is never taken.
    fn next(&mut self) -> Option<Column<'a>> {
        self.count = self.count.checked_sub(1)?;
        read_column(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.count), Some(usize::from(self.count)))
    }
}

impl ExactSizeIterator for Columns<'_> {}

impl PartialEq for Columns<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.reader.rest() == other.reader.rest()
    }
}

impl Eq for Columns<'_> {}

impl fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Columns in the form of the wire, for those who send messages: tests and mock servers.
#[derive(Clone, Debug, Default)]
pub struct ColumnsBuf {
    count: u16,
    columns: Vec<u8>,
}

impl ColumnsBuf {
    /// A list without columns.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: 0,
            columns: Vec::new(),
        }
    }

    /// Adds the next column.
    ///
    /// # Errors
    /// When there are [`MAX_COLUMNS`] already, or the name holds a zero byte.
    pub fn push(&mut self, column: Column<'_>) -> Result<(), EncodeError> {
        if self.count >= MAX_COLUMNS {
            return Err(EncodeError::TooMany { field: "columns" });
        }
        if column.name.bytes().any(|byte| byte == 0) {
            return Err(EncodeError::NulInString {
                field: "column name",
            });
        }
        self.columns.put_u8(if column.key { KEY_FLAG } else { 0 });
        self.columns.put_slice(column.name.as_bytes());
        self.columns.put_u8(0);
        self.columns.put_u32(column.type_oid);
        self.columns.put_i32(column.typmod);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// The list, as it would have been decoded.
    #[must_use]
    pub fn as_columns(&self) -> Columns<'_> {
        Columns {
            count: self.count,
            reader: Reader::new(&self.columns, MessageKind::Fragment),
        }
    }
}

pub(crate) fn read_relation<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    let oid = reader.nonzero_u32("oid")?;
    let namespace = reader.str("namespace")?;
    let name = reader.str("name")?;
    let letter = reader.u8("replica identity")?;
    let identity = ReplicaIdentity::from_byte(letter)
        .ok_or_else(|| reader.unknown_kind("replica identity", letter))?;
    let columns = Columns::read(reader)?;
    Ok(Message::Relation(RelationBody {
        xid,
        oid,
        namespace,
        name,
        identity,
        columns,
    }))
}

pub(crate) fn write_relation(
    buf: &mut BytesMut,
    relation: &RelationBody<'_>,
) -> Result<(), EncodeError> {
    buf.put_u32(relation.oid);
    put_str(buf, "namespace", relation.namespace)?;
    put_str(buf, "name", relation.name)?;
    buf.put_u8(relation.identity.byte());
    relation.columns.write(buf);
    Ok(())
}

pub(crate) fn read_type<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Type {
        xid,
        oid: reader.nonzero_u32("oid")?,
        namespace: reader.str("namespace")?,
        name: reader.str("name")?,
    })
}

pub(crate) fn write_type(
    buf: &mut BytesMut,
    oid: Oid,
    namespace: &str,
    name: &str,
) -> Result<(), EncodeError> {
    buf.put_u32(oid);
    put_str(buf, "namespace", namespace)?;
    put_str(buf, "name", name)
}
