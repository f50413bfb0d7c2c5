//! Writing the fields of a message. A string or length that the wire has no form for is an error.

use bytes::{BufMut, BytesMut};

use crate::Xid;
use crate::error::EncodeError;

/// The transaction prefix of messages inside a stream block.
#[inline]
pub(crate) fn put_xid(buf: &mut BytesMut, xid: Option<Xid>) {
    if let Some(xid) = xid {
        buf.put_u32(xid);
    }
}

/// A string and its terminating zero byte.
pub(crate) fn put_str(
    buf: &mut BytesMut,
    field: &'static str,
    text: &str,
) -> Result<(), EncodeError> {
    if text.bytes().any(|byte| byte == 0) {
        return Err(EncodeError::NulInString { field });
    }
    buf.put_slice(text.as_bytes());
    buf.put_u8(0);
    Ok(())
}

/// Bytes behind their signed 32-bit length.
pub(crate) fn put_sized(
    buf: &mut impl BufMut,
    field: &'static str,
    bytes: &[u8],
) -> Result<(), EncodeError> {
    let len = i32::try_from(bytes.len()).map_err(|_| EncodeError::TooLong {
        field,
        len: bytes.len(),
    })?;
    buf.put_i32(len);
    buf.put_slice(bytes);
    Ok(())
}
