//! Insert, Update and Delete.
//!
//! `Byte1('I')`, in a stream block `Int32` xid, `Int32` relation, `Byte1('N')`, TupleData.
//! `Byte1('U')`, xid, relation, optionally `Byte1('K' or 'O')` with the old TupleData, `Byte1('N')`
//! with the new. `Byte1('D')`, xid, relation, `Byte1('K' or 'O')` with the old TupleData.

use bytes::{BufMut, BytesMut};

use crate::error::DecodeError;
use crate::message::Message;
use crate::reader::Reader;
use crate::tuple::{OldTuple, Tuple};
use crate::{Oid, Xid};

const NEW: u8 = b'N';
const KEY: u8 = b'K';
const FULL: u8 = b'O';
const TUPLE_KIND: &str = "tuple kind";

#[inline]
pub(crate) fn read_insert<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    let relation = reader.u32("relation")?;
    let kind = reader.u8(TUPLE_KIND)?;
    let new = read_new(reader, kind)?;
    Ok(Message::Insert { xid, relation, new })
}

#[inline]
pub(crate) fn read_update<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    let relation = reader.u32("relation")?;
    let mut kind = reader.u8(TUPLE_KIND)?;
    let mut old = None;
    if kind != NEW {
        old = Some(read_old(reader, kind)?);
        kind = reader.u8(TUPLE_KIND)?;
    }
    let new = read_new(reader, kind)?;
    Ok(Message::Update {
        xid,
        relation,
        old,
        new,
    })
}

#[inline]
pub(crate) fn read_delete<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    let relation = reader.u32("relation")?;
    let kind = reader.u8(TUPLE_KIND)?;
    let old = read_old(reader, kind)?;
    Ok(Message::Delete { xid, relation, old })
}

#[inline]
fn read_new<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<Tuple<'a>, DecodeError> {
    match kind {
        NEW => Tuple::read(reader),
        kind => Err(reader.unknown_kind(TUPLE_KIND, kind)),
    }
}

#[inline]
fn read_old<'a>(reader: &mut Reader<'a>, kind: u8) -> Result<OldTuple<'a>, DecodeError> {
    match kind {
        KEY => Tuple::read(reader).map(OldTuple::Key),
        FULL => Tuple::read(reader).map(OldTuple::Full),
        kind => Err(reader.unknown_kind(TUPLE_KIND, kind)),
    }
}

pub(crate) fn write_insert(buf: &mut BytesMut, relation: Oid, new: &Tuple<'_>) {
    buf.put_u32(relation);
    write_new(buf, new);
}

pub(crate) fn write_update(
    buf: &mut BytesMut,
    relation: Oid,
    old: Option<&OldTuple<'_>>,
    new: &Tuple<'_>,
) {
    buf.put_u32(relation);
    if let Some(old) = old {
        write_old(buf, old);
    }
    write_new(buf, new);
}

pub(crate) fn write_delete(buf: &mut BytesMut, relation: Oid, old: &OldTuple<'_>) {
    buf.put_u32(relation);
    write_old(buf, old);
}

fn write_new(buf: &mut BytesMut, new: &Tuple<'_>) {
    buf.put_u8(NEW);
    new.write(buf);
}

fn write_old(buf: &mut BytesMut, old: &OldTuple<'_>) {
    buf.put_u8(match old {
        OldTuple::Key(_) => KEY,
        OldTuple::Full(_) => FULL,
    });
    old.tuple().write(buf);
}
