//! The standby status update: how far the client is.
//!
//! `Byte1('r')`, `Int64` written, `Int64` flushed, `Int64` applied, `Int64` the client's clock,
//! `Byte1` 1 to ask the server for an answer.

use bytes::{BufMut, BytesMut};

use crate::error::{DecodeError, DecodeErrorKind, MessageKind};
use crate::lsn::Lsn;
use crate::reader::Reader;
use crate::time::PgMicros;

/// Bytes of a status update: tag, three positions, a time stamp and the reply flag.
pub const STANDBY_STATUS_LEN: usize = 34;

const STANDBY_STATUS: u8 = b'r';

/// How far the client is. The server moves a logical slot's `confirmed_flush_lsn` to `flushed`
/// and never sends again what lies before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandbyStatus {
    /// Received and written, not necessarily safe.
    pub written: Lsn,
    /// Safe whatever happens.
    pub flushed: Lsn,
    /// Visible to readers.
    pub applied: Lsn,
    /// The client's clock as it sends.
    pub client_time: PgMicros,
    /// Whether the server is to answer with a keepalive at once.
    pub reply_requested: bool,
}

impl StandbyStatus {
    /// Decodes what a CopyData message from the client holds, all of it.
    ///
    /// # Errors
    /// When the bytes are not exactly a status update.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, MessageKind::StandbyStatus);
        if bytes.is_empty() {
            return Err(reader.error("tag", DecodeErrorKind::Empty));
        }
        let tag = reader.u8("tag")?;
        if tag != STANDBY_STATUS {
            return Err(reader.error_at(0, "tag", DecodeErrorKind::UnknownTag { tag }));
        }
        let status = Self {
            written: reader.lsn("written")?,
            flushed: reader.lsn("flushed")?,
            applied: reader.lsn("applied")?,
            client_time: reader.time("client time")?,
            reply_requested: reader.bool("reply requested")?,
        };
        reader.end()?;
        Ok(status)
    }

    /// Appends the update as it goes into a CopyData message.
    pub fn encode(&self, buf: &mut BytesMut) {
        buf.put_u8(STANDBY_STATUS);
        buf.put_u64(self.written.0);
        buf.put_u64(self.flushed.0);
        buf.put_u64(self.applied.0);
        buf.put_i64(self.client_time.0);
        buf.put_u8(u8::from(self.reply_requested));
    }
}
