//! bytea, and base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut, BytesMut};

use super::ValueError;

/// Bytes that are turned into base64 at once, on the stack: a multiple of 3, so that padding can
/// only come at the end.
const BLOCK: usize = 768;
/// Length of a block in base64.
const BLOCK_BASE64: usize = BLOCK / 3 * 4;

/// The digits of `\x…` into a base64 string.
pub(super) fn write_bytea(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let digits = text.strip_prefix(b"\\x").ok_or(ValueError::NotHex)?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ValueError::NotHex);
    }
    out.reserve(pairs.len() / 3 * 4 + 6);
    out.put_u8(b'"');
    let mut block = [0; BLOCK];
    for pairs in pairs.chunks(BLOCK) {
        let mut wrong = 0;
        for (byte, [high, low]) in block.iter_mut().zip(pairs) {
            let (high, low) = (nibble(*high), nibble(*low));
            wrong |= high | low;
            *byte = high << 4 | (low & 0x0F);
        }
        if wrong > 0x0F {
            return Err(ValueError::NotHex);
        }
        put_block(block.get(..pairs.len()).unwrap_or_default(), out);
    }
    out.put_u8(b'"');
    Ok(())
}

/// The value of a hex digit; something above 15 for everything else.
#[inline]
const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => u8::MAX,
    }
}

/// Any bytes as a base64 string.
pub(crate) fn write_base64(bytes: &[u8], out: &mut BytesMut) {
    out.put_u8(b'"');
    for block in bytes.chunks(BLOCK) {
        put_block(block, out);
    }
    out.put_u8(b'"');
}

/// A block of at most [`BLOCK`] bytes.
fn put_block(block: &[u8], out: &mut BytesMut) {
    let mut text = [0; BLOCK_BASE64];
    // It fits by the lengths above, so the other branch is never taken.
    if let Ok(len) = BASE64_STANDARD.encode_slice(block, &mut text) {
        out.put_slice(text.get(..len).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hex_of_any_bytes_becomes_their_base64(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut out = BytesMut::new();
            write_bytea(format!("\\x{hex}").as_bytes(), &mut out)?;
            let mut direct = BytesMut::new();
            write_base64(&bytes, &mut direct);
            prop_assert_eq!(&out, &direct);
            let text = str::from_utf8(&out)?.trim_matches('"');
            prop_assert_eq!(BASE64_STANDARD.decode(text)?, bytes);
        }
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        for bad in [
            "", "abc", "\\\\xab", "\\x0", "\\x0g", "\\x 0", "\\000", "\\xé",
        ] {
            let mut out = BytesMut::new();
            assert_eq!(
                write_bytea(bad.as_bytes(), &mut out),
                Err(ValueError::NotHex),
                "{bad}"
            );
        }
    }
}
