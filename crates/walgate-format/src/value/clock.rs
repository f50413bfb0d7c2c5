//! timestamp, timestamptz and timetz: ISO 8601 out of PostgreSQL's ISO style.
//!
//! Of the texts that PostgreSQL prints, only those with a year of four digits after Christ change;
//! `infinity`, years over 9999 and years BC stay PostgreSQL's text, as the format says.

use bytes::{BufMut, BytesMut};

use super::ValueError;
use crate::escape::{is_plain, write_string};

/// Date and time of `2026-11-21 09:30:00.123` when the year has four digits.
#[inline]
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (date, rest) = text.split_at_checked(10)?;
    let (blank, time) = rest.split_first()?;
    let shaped = *blank == b' ' && matches!(date, [_, _, _, _, b'-', _, _, b'-', _, _]);
    let ends_with_digit = time.last().is_some_and(u8::is_ascii_digit);
    (shaped && ends_with_digit).then_some((date, time))
}

#[inline]
pub(super) fn write_timestamp(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    match split(text) {
        Some((date, time)) if is_plain(text) => write_iso(date, time, b"\"", out),
        _ => return write_string(text, out),
    }
    Ok(())
}

#[inline]
pub(super) fn write_timestamptz(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    // The connection pins UTC; an other offset would be a text that nobody expects.
    match text.strip_suffix(b"+00").and_then(split) {
        Some((date, time)) if is_plain(text) => write_iso(date, time, b"Z\"", out),
        _ => return write_string(text, out),
    }
    Ok(())
}

#[inline]
fn write_iso(date: &[u8], time: &[u8], end: &[u8], out: &mut BytesMut) {
    out.reserve(date.len() + time.len() + 4);
    out.put_u8(b'"');
    out.put_slice(date);
    out.put_u8(b'T');
    out.put_slice(time);
    out.put_slice(end);
}

/// `10:00:00+02` gets the minutes of its offset; `+05:30` and `+15:59:59` have them.
pub(super) fn write_timetz(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    let short = matches!(text, [.., b'+' | b'-', a, b] if a.is_ascii_digit() && b.is_ascii_digit());
    if !short || !is_plain(text) {
        return write_string(text, out);
    }
    out.put_u8(b'"');
    out.put_slice(text);
    out.put_slice(b":00\"");
    Ok(())
}
