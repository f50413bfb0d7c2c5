//! Stream Start, Stop, Commit and Abort: transactions that are sent while they run.
//!
//! `Byte1('S')`, `Int32` xid, `Int8` 1 for the first block of this xid. `Byte1('E')`.
//! `Byte1('c')`, `Int32` xid, then as Commit. `Byte1('A')`, `Int32` xid, `Int32` xid of the
//! sub-transaction (the same as xid for the whole transaction) and, only with streaming
//! 'parallel', `Int64` lsn and `Int64` time of the abort.

use bytes::{BufMut, BytesMut};

use crate::dialect::Dialect;
use crate::error::{DecodeError, EncodeError};
use crate::message::Message;
use crate::reader::Reader;
use crate::tag::Tag;
use crate::transaction::{NO_FLAGS, write_commit};

pub(crate) fn read_start<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::StreamStart {
        xid: reader.u32("xid")?,
        first_segment: reader.bool("first segment")?,
    })
}

pub(crate) fn read_commit<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::StreamCommit {
        xid: reader.u32("xid")?,
        flags: reader.flags("flags", NO_FLAGS)?,
        commit_lsn: reader.lsn("commit lsn")?,
        end_lsn: reader.lsn("end lsn")?,
        commit_time: reader.time("commit time")?,
    })
}

pub(crate) fn read_abort<'a>(
    reader: &mut Reader<'a>,
    dialect: Dialect,
) -> Result<Message<'a>, DecodeError> {
    let xid = reader.u32("xid")?;
    let subxid = reader.u32("subtransaction xid")?;
    let abort = if dialect.has_long_abort() {
        Some((reader.lsn("abort lsn")?, reader.time("abort time")?))
    } else {
        None
    };
    Ok(Message::StreamAbort { xid, subxid, abort })
}

/// The body of the messages of this file; of any other message nothing.
pub(crate) fn write(
    buf: &mut BytesMut,
    dialect: Dialect,
    message: &Message<'_>,
) -> Result<(), EncodeError> {
    match *message {
        Message::StreamStart { xid, first_segment } => {
            buf.put_u32(xid);
            buf.put_u8(u8::from(first_segment));
        }
        Message::StreamCommit {
            xid,
            flags,
            commit_lsn,
            end_lsn,
            commit_time,
        } => {
            buf.put_u32(xid);
            write_commit(buf, flags, commit_lsn, end_lsn, commit_time);
        }
        Message::StreamAbort { abort, .. } if abort.is_some() != dialect.has_long_abort() => {
            return Err(EncodeError::NotInDialect {
                tag: Tag::StreamAbort,
            });
        }
        Message::StreamAbort { xid, subxid, abort } => {
            buf.put_u32(xid);
            buf.put_u32(subxid);
            if let Some((lsn, time)) = abort {
                buf.put_u64(lsn.0);
                buf.put_i64(time.0);
            }
        }
        _ => {}
    }
    Ok(())
}
