//! JSON strings, escaped minimally: `"`, `\` and control characters, everything else as UTF-8.

use bytes::{BufMut, BytesMut};

use crate::ValueError;

/// Each byte 1.
const ONES: u64 = u64::MAX / 0xFF;
/// Each byte 0x80.
const TOPS: u64 = ONES << 7;

/// The top bit of each byte that a JSON string must escape, for bytes below 0x80.
///
/// The lowest bit that is set is exact; above it a borrow may set more. The top bit of bytes from
/// 0x80 on means nothing. (Bit Twiddling Hacks, "Determine if a word has a byte less than n".)
#[inline]
const fn escapes(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    control | quote | backslash
}

/// Whether `text` is ASCII without anything that a JSON string must escape: such text goes out as
/// it is, and is valid UTF-8.
#[inline]
pub(crate) fn is_plain(text: &[u8]) -> bool {
    fold_words(text, |word| word | escapes(word))
}

/// Whether `text` is ASCII without control characters.
#[inline]
pub(crate) fn is_printable(text: &[u8]) -> bool {
    fold_words(text, |word| word | word.wrapping_sub(ONES * 0x20))
}

/// Whether no word of `text` gets a top bit from `marks`. No early end, so that it is vectorised.
#[inline]
fn fold_words(text: &[u8], marks: impl Fn(u64) -> u64) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let mut found = 0;
    for word in words {
        found |= marks(u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        // A short text is filled up with spaces, behind a longer one the last word overlaps.
        let last = text
            .last_chunk::<8>()
            .map_or_else(|| padded(rest), |last| *last);
        found |= marks(u64::from_le_bytes(last));
    }
    found & TOPS == 0
}

#[inline]
fn padded(rest: &[u8]) -> [u8; 8] {
    let mut word = [b' '; 8];
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    word
}

/// Writes `text` as a JSON string.
#[inline]
pub(crate) fn write_string(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    if !is_plain(text) {
        return write_escaped(text, out);
    }
    write_plain(text, out);
    Ok(())
}

/// Writes text that is known to be plain (see [`is_plain`]) as a JSON string.
#[inline]
pub(crate) fn write_plain(text: &[u8], out: &mut BytesMut) {
    out.reserve(text.len() + 2);
    out.put_u8(b'"');
    out.put_slice(text);
    out.put_u8(b'"');
}

/// A name or another text that is UTF-8 already, as a JSON string.
pub(crate) fn write_str(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    write_inner(text.as_bytes(), out);
    out.put_u8(b'"');
}

#[inline(never)]
fn write_escaped(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    check_utf8(text)?;
    out.reserve(text.len() + 2);
    out.put_u8(b'"');
    write_inner(text, out);
    out.put_u8(b'"');
    Ok(())
}

/// Refuses what is not UTF-8.
pub(crate) fn check_utf8(text: &[u8]) -> Result<&str, ValueError> {
    str::from_utf8(text).map_err(|error| ValueError::NotUtf8 {
        at: error.valid_up_to(),
    })
}

fn write_inner(mut text: &[u8], out: &mut BytesMut) {
    while let Some(at) = find_escape(text) {
        let (before, rest) = text.split_at(at);
        out.put_slice(before);
        let Some((byte, rest)) = rest.split_first() else {
            return;
        };
        write_escape(*byte, out);
        text = rest;
    }
    out.put_slice(text);
}

fn find_escape(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = escapes(word) & !word & TOPS;
        if found != 0 {
            return Some(place * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest
        .iter()
        .position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'))?;
    Some(words.len() * 8 + found)
}

fn write_escape(byte: u8, out: &mut BytesMut) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.put_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.put_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &[u8]) -> Result<String, ValueError> {
        let mut out = BytesMut::new();
        write_string(text, &mut out)?;
        Ok(String::from_utf8(out.to_vec()).expect("JSON is UTF-8"))
    }

    #[test]
    fn escapes_no_more_than_it_must() {
        assert_eq!(string(b"").as_deref(), Ok(r#""""#));
        assert_eq!(
            string(b"plain / text <b>").as_deref(),
            Ok(r#""plain / text <b>""#)
        );
        assert_eq!(string(b"a\"b\\c").as_deref(), Ok(r#""a\"b\\c""#));
        let controls = b"\x00\x01\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x1f\x20\x7f";
        let escaped = "\"\\u0000\\u0001\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u001f \x7f\"";
        assert_eq!(string(controls).as_deref(), Ok(escaped));
        assert_eq!(
            string("Zoë 🦀 \u{2028}".as_bytes()).as_deref(),
            Ok("\"Zoë 🦀 \u{2028}\"")
        );
    }

    #[test]
    fn refuses_what_is_not_utf8_and_says_where() {
        assert_eq!(string(b"abc\xFFdef"), Err(ValueError::NotUtf8 { at: 3 }));
        assert_eq!(string(b"\xC3"), Err(ValueError::NotUtf8 { at: 0 }));
        assert_eq!(
            string(b"0123456789\xED\xA0\x80"),
            Err(ValueError::NotUtf8 { at: 10 })
        );
    }

    #[test]
    fn every_byte_is_judged_in_every_place() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, 0x20..0x80) && byte != b'"' && byte != b'\\';
            for len in 1..20 {
                for place in 0..len {
                    let mut text = vec![b'x'; len];
                    text[place] = byte;
                    assert_eq!(is_plain(&text), plain, "{byte:#x} at {place} of {len}");
                    assert_eq!(is_printable(&text), matches!(byte, 0x20..0x80));
                    let escape = matches!(byte, 0..0x20 | b'"' | b'\\').then_some(place);
                    assert_eq!(find_escape(&text), escape, "{byte:#x} at {place} of {len}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in any::<String>()) {
            let json = string(text.as_bytes())?;
            prop_assert_eq!(serde_json::from_str::<String>(&json)?, text);
        }

        #[test]
        fn any_bytes_are_written_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(string(&bytes).is_ok(), str::from_utf8(&bytes).is_ok());
        }
    }
}
