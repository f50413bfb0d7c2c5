//! Begin, Commit and Origin.
//!
//! `Byte1('B')`, `Int64` final lsn, `Int64` commit time, `Int32` xid. `Byte1('C')`, `Int8` flags
//! (0), `Int64` commit lsn, `Int64` end lsn, `Int64` commit time. `Byte1('O')`, `Int64` lsn,
//! `String` name.

use bytes::{BufMut, BytesMut};

use crate::Xid;
use crate::error::{DecodeError, EncodeError};
use crate::lsn::Lsn;
use crate::message::Message;
use crate::reader::Reader;
use crate::time::PgMicros;
use crate::writer::put_str;

/// The flags of every kind of commit and prepare: reserved, 0 in every version, and anything else
/// makes PostgreSQL's own apply worker give up ("unrecognized flags"), see `proto.c`.
pub(crate) const NO_FLAGS: u8 = 0;

#[inline]
pub(crate) fn read_begin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Begin {
        final_lsn: reader.lsn("final lsn")?,
        commit_time: reader.time("commit time")?,
        xid: reader.u32("xid")?,
    })
}

pub(crate) fn write_begin(buf: &mut BytesMut, final_lsn: Lsn, commit_time: PgMicros, xid: Xid) {
    buf.put_u64(final_lsn.0);
    buf.put_i64(commit_time.0);
    buf.put_u32(xid);
}

#[inline]
pub(crate) fn read_commit<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Commit {
        flags: reader.flags("flags", NO_FLAGS)?,
        commit_lsn: reader.lsn("commit lsn")?,
        end_lsn: reader.lsn("end lsn")?,
        commit_time: reader.time("commit time")?,
    })
}

pub(crate) fn write_commit(
    buf: &mut BytesMut,
    flags: u8,
    commit_lsn: Lsn,
    end_lsn: Lsn,
    commit_time: PgMicros,
) {
    buf.put_u8(flags);
    buf.put_u64(commit_lsn.0);
    buf.put_u64(end_lsn.0);
    buf.put_i64(commit_time.0);
}

pub(crate) fn read_origin<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Origin {
        lsn: reader.lsn("lsn")?,
        name: reader.str("name")?,
    })
}

pub(crate) fn write_origin(buf: &mut BytesMut, lsn: Lsn, name: &str) -> Result<(), EncodeError> {
    buf.put_u64(lsn.0);
    put_str(buf, "name", name)
}
