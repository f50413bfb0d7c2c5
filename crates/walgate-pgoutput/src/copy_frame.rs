//! The frames that a walsender puts into CopyData messages.
//!
//! XLogData: `Byte1('w')`, `Int64` start of the WAL data, `Int64` end of WAL on the server, `Int64`
//! the server's clock, then the payload. Primary keepalive: `Byte1('k')`, `Int64` end of WAL,
//! `Int64` clock, `Byte1` 1 when a reply is asked for at once.

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, DecodeErrorKind, MessageKind};
use crate::lsn::Lsn;
use crate::reader::Reader;
use crate::time::PgMicros;

/// Bytes of an XLogData before its payload: tag, two positions and a time stamp.
pub const XLOG_DATA_HEADER: usize = 25;

/// Bytes of a keepalive: tag, a position, a time stamp and the reply flag.
pub const KEEPALIVE_LEN: usize = 18;

const XLOG_DATA: u8 = b'w';
const KEEPALIVE: u8 = b'k';

/// What the server sends inside CopyData while it replicates.
///
/// Positions may go back from one frame to the next. In logical replication `wal_start` and
/// `wal_end` of an XLogData are equal, and are the position of the change's own record, which lies
/// before the commit of transactions that were sent earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFrame<'a> {
    /// One pgoutput message.
    XLogData {
        /// The position of the change.
        wal_start: Lsn,
        /// The end of the log as the server reports it with this frame.
        wal_end: Lsn,
        /// The server's clock as it sent.
        server_time: PgMicros,
        /// The message, to be given to [`crate::decode`].
        payload: &'a [u8],
    },
    /// A sign of life.
    Keepalive {
        /// How far the server has decoded the log.
        wal_end: Lsn,
        /// The server's clock as it sent.
        server_time: PgMicros,
        /// Whether the server wants a status update now, or it closes the connection soon.
        reply_requested: bool,
    },
}

impl<'a> CopyFrame<'a> {
    /// Decodes what a CopyData message holds, all of it.
    ///
    /// # Errors
    /// When the bytes are neither an XLogData nor exactly a keepalive. The payload of an XLogData
    /// is not looked at.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, MessageKind::CopyFrame);
        if bytes.is_empty() {
            return Err(reader.error("tag", DecodeErrorKind::Empty));
        }
        match reader.u8("tag")? {
            XLOG_DATA => {
                reader.set_message(MessageKind::XLogData);
                Ok(Self::XLogData {
                    wal_start: reader.lsn("wal start")?,
                    wal_end: reader.lsn("wal end")?,
                    server_time: reader.time("server time")?,
                    payload: reader.rest(),
                })
            }
            KEEPALIVE => {
                reader.set_message(MessageKind::Keepalive);
                let frame = Self::Keepalive {
                    wal_end: reader.lsn("wal end")?,
                    server_time: reader.time("server time")?,
                    reply_requested: reader.bool("reply requested")?,
                };
                reader.end()?;
                Ok(frame)
            }
            tag => Err(reader.error_at(0, "tag", DecodeErrorKind::UnknownTag { tag })),
        }
    }

    /// Appends the frame as the server would put it into a CopyData message.
    pub fn encode(&self, buf: &mut BytesMut) {
        match *self {
            Self::XLogData {
                wal_start,
                wal_end,
                server_time,
                payload,
            } => {
                buf.put_u8(XLOG_DATA);
                buf.put_u64(wal_start.0);
                buf.put_u64(wal_end.0);
                buf.put_i64(server_time.0);
                buf.put_slice(payload);
            }
            Self::Keepalive {
                wal_end,
                server_time,
                reply_requested,
            } => {
                buf.put_u8(KEEPALIVE);
                buf.put_u64(wal_end.0);
                buf.put_i64(server_time.0);
                buf.put_u8(u8::from(reply_requested));
            }
        }
    }
}
