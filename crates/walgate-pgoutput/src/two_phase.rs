//! Begin Prepare, Prepare, Commit Prepared, Rollback Prepared and Stream Prepare.
//!
//! `Byte1('b')`, `Int64` prepare lsn, `Int64` end lsn, `Int64` prepare time, `Int32` xid, `String`
//! gid. `Byte1('P')` and `Byte1('p')`: `Int8` flags (0) and the same. `Byte1('K')`: flags, `Int64`
//! commit lsn, `Int64` end lsn, `Int64` commit time, xid, gid. `Byte1('r')`: flags, `Int64` end
//! lsn of the prepare, `Int64` end lsn of the rollback, `Int64` prepare time, `Int64` rollback
//! time, xid, gid.
//!
//! They are decoded under every version: a slot that was created with two-phase decoding sends
//! them whatever `proto_version` says. A gid has at most 199 bytes in the server's encoding, and
//! may be longer once it is converted to UTF-8, so its length is not limited here.

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, EncodeError};
use crate::message::Message;
use crate::reader::Reader;
use crate::transaction::{NO_FLAGS, write_commit};
use crate::writer::put_str;

pub(crate) fn read_begin_prepare<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::BeginPrepare {
        prepare_lsn: reader.lsn("prepare lsn")?,
        end_lsn: reader.lsn("end lsn")?,
        prepare_time: reader.time("prepare time")?,
        xid: reader.u32("xid")?,
        gid: reader.str("gid")?,
    })
}

pub(crate) fn read_prepare<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::Prepare {
        flags: reader.flags("flags", NO_FLAGS)?,
        prepare_lsn: reader.lsn("prepare lsn")?,
        end_lsn: reader.lsn("end lsn")?,
        prepare_time: reader.time("prepare time")?,
        xid: reader.u32("xid")?,
        gid: reader.str("gid")?,
    })
}

pub(crate) fn read_stream_prepare<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(Message::StreamPrepare {
        flags: reader.flags("flags", NO_FLAGS)?,
        prepare_lsn: reader.lsn("prepare lsn")?,
        end_lsn: reader.lsn("end lsn")?,
        prepare_time: reader.time("prepare time")?,
        xid: reader.u32("xid")?,
        gid: reader.str("gid")?,
    })
}

pub(crate) fn read_commit_prepared<'a>(
    reader: &mut Reader<'a>,
) -> Result<Message<'a>, DecodeError> {
    Ok(Message::CommitPrepared {
        flags: reader.flags("flags", NO_FLAGS)?,
        commit_lsn: reader.lsn("commit lsn")?,
        end_lsn: reader.lsn("end lsn")?,
        commit_time: reader.time("commit time")?,
        xid: reader.u32("xid")?,
        gid: reader.str("gid")?,
    })
}

pub(crate) fn read_rollback_prepared<'a>(
    reader: &mut Reader<'a>,
) -> Result<Message<'a>, DecodeError> {
    Ok(Message::RollbackPrepared {
        flags: reader.flags("flags", NO_FLAGS)?,
        prepare_end_lsn: reader.lsn("prepare end lsn")?,
        rollback_end_lsn: reader.lsn("rollback end lsn")?,
        prepare_time: reader.time("prepare time")?,
        rollback_time: reader.time("rollback time")?,
        xid: reader.u32("xid")?,
        gid: reader.str("gid")?,
    })
}

/// The body of the messages of this file; of any other message nothing.
pub(crate) fn write(buf: &mut BytesMut, message: &Message<'_>) -> Result<(), EncodeError> {
    let (xid, gid) = match *message {
        Message::BeginPrepare {
            prepare_lsn,
            end_lsn,
            prepare_time,
            xid,
            gid,
        } => {
            buf.put_u64(prepare_lsn.0);
            buf.put_u64(end_lsn.0);
            buf.put_i64(prepare_time.0);
            (xid, gid)
        }
        Message::Prepare {
            flags,
            prepare_lsn: lsn,
            end_lsn,
            prepare_time: time,
            xid,
            gid,
        }
        | Message::StreamPrepare {
            flags,
            prepare_lsn: lsn,
            end_lsn,
            prepare_time: time,
            xid,
            gid,
        }
        | Message::CommitPrepared {
            flags,
            commit_lsn: lsn,
            end_lsn,
            commit_time: time,
            xid,
            gid,
        } => {
            write_commit(buf, flags, lsn, end_lsn, time);
            (xid, gid)
        }
        Message::RollbackPrepared {
            flags,
            prepare_end_lsn,
            rollback_end_lsn,
            prepare_time,
            rollback_time,
            xid,
            gid,
        } => {
            write_commit(buf, flags, prepare_end_lsn, rollback_end_lsn, prepare_time);
            buf.put_i64(rollback_time.0);
            (xid, gid)
        }
        _ => return Ok(()),
    };
    buf.put_u32(xid);
    put_str(buf, "gid", gid)
}
