//! Integers and floats.

use bytes::{BufMut, BytesMut};

use super::ValueError;
use crate::escape::write_plain;

/// Digits with an optional minus, and no zero in front: what PostgreSQL prints and JSON takes.
#[inline]
fn is_integer(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.iter().all(u8::is_ascii_digit)
        && match digits {
            [] => false,
            [_] => true,
            [first, ..] => *first != b'0',
        }
}

#[inline]
pub(super) fn write_integer(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    if !is_integer(text) {
        return Err(ValueError::NotInteger);
    }
    out.put_slice(text);
    Ok(())
}

#[inline]
pub(super) fn write_quoted_integer(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    if !is_integer(text) {
        return Err(ValueError::NotInteger);
    }
    write_plain(text, out);
    Ok(())
}

/// With `extra_float_digits` above 0 PostgreSQL prints the shortest text that reads back to the
/// same value (`1e+20`, `1e-07`, `-0`); all of that is a number of JSON as well.
#[inline]
pub(super) fn write_float(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    if is_number(text) {
        out.put_slice(text);
        return Ok(());
    }
    match text {
        b"NaN" | b"Infinity" | b"-Infinity" => write_plain(text, out),
        _ => return Err(ValueError::NotFloat),
    }
    Ok(())
}

/// RFC 8259 section 6: `-`, integer, fraction, exponent.
#[inline]
fn is_number(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.first() == Some(&b'0')) {
        return false;
    }
    let rest = match rest.strip_prefix(b".").map(digits) {
        Some((0, _)) => return false,
        Some((_, rest)) => rest,
        None => rest,
    };
    let Some((b'e' | b'E', rest)) = rest.split_first() else {
        return rest.is_empty();
    };
    let exponent = match rest.split_first() {
        Some((b'+' | b'-', exponent)) => exponent,
        _ => rest,
    };
    let (count, rest) = digits(exponent);
    count > 0 && rest.is_empty()
}

/// How many digits lead `text`, and what comes behind them.
#[inline]
fn digits(text: &[u8]) -> (usize, &[u8]) {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (count, text.get(count..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_are_digits_only() {
        for good in [
            "0",
            "-1",
            "7",
            "42",
            "-32768",
            "4294967295",
            "9223372036854775807",
        ] {
            assert!(is_integer(good.as_bytes()), "{good}");
        }
        for bad in [
            "", "-", "+1", "1.5", "1e3", " 1", "1 ", "00", "01", "-01", "NaN", "\u{661}",
        ] {
            assert!(!is_integer(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_is_not_a_number_of_json_is_none() {
        for bad in [
            "", "-", ".5", "5.", "1e", "1e+", "01", "1.e5", "+1", "1 ", "inf", "0x1", "--1",
        ] {
            assert!(!is_number(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_serde_json(text in "[-+.eE0-9]{0,8}") {
            let json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(is_number(text.as_bytes()), json);
        }
    }
}
