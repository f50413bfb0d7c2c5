//! Message: what `pg_logical_emit_message` wrote.
//!
//! `Byte1('M')`, in a stream block `Int32` xid, `Int8` flags (1: transactional), `Int64` lsn,
//! `String` prefix, `Int32` length of the content, the content.

use bytes::{BufMut, BytesMut};

use crate::Xid;
use crate::error::{DecodeError, EncodeError};
use crate::lsn::Lsn;
use crate::message::Message;
use crate::reader::Reader;
use crate::writer::{put_sized, put_str};

const TRANSACTIONAL: u8 = 1;

pub(crate) fn read_message<'a>(
    reader: &mut Reader<'a>,
    xid: Option<Xid>,
) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Message {
        xid,
        transactional: reader.flags("flags", TRANSACTIONAL)? == TRANSACTIONAL,
        lsn: reader.lsn("lsn")?,
        prefix: reader.str("prefix")?,
        content: reader.sized("content")?,
    })
}

pub(crate) fn write_message(
    buf: &mut BytesMut,
    transactional: bool,
    lsn: Lsn,
    prefix: &str,
    content: &[u8],
) -> Result<(), EncodeError> {
    buf.put_u8(if transactional { TRANSACTIONAL } else { 0 });
    buf.put_u64(lsn.0);
    put_str(buf, "prefix", prefix)?;
    put_sized(buf, "content", content)
}
