//! bytea, uuid, bit strings.

use crate::field::{Fields, Refused};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Two digits.
#[inline]
pub(crate) fn hex(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    [digit(byte >> 4), digit(byte & 0x0F)]
}

/// `byteaout` with `bytea_output=hex`.
pub(crate) fn write_bytea(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 + 2 * bytes.len());
    out.extend_from_slice(b"\\x");
    out.extend(bytes.iter().flat_map(|byte| hex(*byte)));
}

/// `uuid_out`.
pub(crate) fn write_uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    for (place, byte) in bytes.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&hex(byte));
    }
}

/// `bit_out`, `varbit_out`.
pub(crate) fn write_bits(mut fields: Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    let len = usize::try_from(fields.i32()?).map_err(|_| Refused)?;
    let bytes = fields.rest();
    if bytes.len() != len.div_ceil(8) {
        return Err(Refused);
    }
    let end = out.len() + len;
    for byte in bytes {
        out.extend((0..8).map(|bit| b'0' + (byte >> (7 - bit) & 1)));
    }
    out.truncate(end);
    Ok(())
}
