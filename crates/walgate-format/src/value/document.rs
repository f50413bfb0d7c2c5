//! json and jsonb: the value itself.

use bytes::{BufMut, BytesMut};

use super::ValueError;
use crate::escape::{check_utf8, is_printable};

/// Takes the text verbatim; line breaks become spaces. PostgreSQL refuses raw control characters
/// inside strings, so a line break can only stand between tokens.
#[inline]
pub(super) fn write(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    if text.is_empty() {
        return Err(ValueError::EmptyJson);
    }
    if is_printable(text) {
        out.put_slice(text);
        return Ok(());
    }
    write_checked(text, out)
}

#[inline(never)]
fn write_checked(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let mut rest = check_utf8(text)?.as_bytes();
    out.reserve(rest.len());
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (line, behind) = rest.split_at(at);
        out.put_slice(line);
        out.put_u8(b' ');
        rest = behind.get(1..).unwrap_or_default();
    }
    out.put_slice(rest);
    Ok(())
}
