//! Arrays, ranges, multiranges.

use crate::field::{Fields, Refused};
use crate::form::Form;
use crate::number::write_integer;

/// `MAXDIM` of `src/include/utils/array.h`.
const MAX_DIMENSIONS: usize = 6;

/// `array_out` of `src/backend/utils/adt/arrayfuncs.c`.
pub(crate) fn write_array(
    element: &Form,
    delimiter: u8,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let mut fields = Fields::new(bytes);
    let (dimensions, _nulls, _type) = (fields.i32()?, fields.i32()?, fields.u32()?);
    let dimensions = usize::try_from(dimensions).map_err(|_| Refused)?;
    if dimensions == 0 {
        out.extend_from_slice(b"{}");
        return fields.end();
    }
    if dimensions > MAX_DIMENSIONS {
        return Err(Refused);
    }
    let mut lens = Vec::with_capacity(dimensions);
    let mut bounds = Vec::new();
    let mut is_custom = false;
    for _ in 0..dimensions {
        let (len, lower) = (fields.i32()?, fields.i32()?);
        let upper = len.checked_sub(1).and_then(|more| lower.checked_add(more));
        let upper = upper.ok_or(Refused)?;
        is_custom |= lower != 1;
        bounds.push(b'[');
        write_integer(lower, &mut bounds);
        bounds.push(b':');
        write_integer(upper, &mut bounds);
        bounds.push(b']');
        lens.push(
            usize::try_from(len)
                .ok()
                .filter(|len| *len > 0)
                .ok_or(Refused)?,
        );
    }
    if is_custom {
        out.extend_from_slice(&bounds);
        out.push(b'=');
    }
    write_elements(element, delimiter, &lens, fields, out)
}

fn write_elements(
    element: &Form,
    delimiter: u8,
    lens: &[usize],
    mut fields: Fields<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let mut places = vec![0_usize; lens.len()];
    out.resize(out.len() + lens.len(), b'{');
    loop {
        match fields.sized()? {
            None => out.extend_from_slice(b"NULL"),
            Some(bytes) => {
                let start = out.len();
                element.write(bytes, out)?;
                quote_element(start, delimiter, out);
            }
        }
        // As an odometer: what is full is closed, and opened again behind the next.
        let mut closed = 0;
        loop {
            let Some(turning) = lens.len().checked_sub(closed + 1) else {
                return fields.end();
            };
            let (Some(place), Some(len)) = (places.get_mut(turning), lens.get(turning)) else {
                return Err(Refused);
            };
            *place += 1;
            if *place < *len {
                break;
            }
            *place = 0;
            closed += 1;
            out.push(b'}');
        }
        out.push(delimiter);
        out.resize(out.len() + closed, b'{');
    }
}

/// `array_isspace`, which knows no locale.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// Quotes what was written from `start` on, when `array_out` would.
fn quote_element(start: usize, delimiter: u8, out: &mut Vec<u8>) {
    let text = out.get(start..).unwrap_or_default();
    let is_special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'{' | b'}') || *byte == delimiter || is_space(*byte)
    };
    if text.is_empty() || text.eq_ignore_ascii_case(b"NULL") || text.iter().any(is_special) {
        quote(
            start,
            |byte| matches!(byte, b'"' | b'\\').then_some(b'\\'),
            out,
        );
    }
}

/// Puts quotes around what was written from `start` on, and what `escape` says in front of a byte.
fn quote(start: usize, escape: impl Fn(u8) -> Option<u8>, out: &mut Vec<u8>) {
    let text = out.split_off(start);
    out.reserve(text.len() + 2);
    out.push(b'"');
    for byte in text {
        out.extend(escape(byte));
        out.push(byte);
    }
    out.push(b'"');
}

/// Flags of `src/include/utils/rangetypes.h`.
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

/// `range_out` of `src/backend/utils/adt/rangetypes.c`.
pub(crate) fn write_range(bound: &Form, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let mut fields = Fields::new(bytes);
    let flags = fields.u8()?;
    if flags > 0x1F {
        return Err(Refused);
    }
    if flags & EMPTY != 0 {
        out.extend_from_slice(b"empty");
        return fields.end();
    }
    let is = |flag: u8| flags & flag != 0;
    out.push(if is(LOWER_INCLUSIVE) { b'[' } else { b'(' });
    if !is(LOWER_INFINITE) {
        write_bound(bound, fields.sized()?.ok_or(Refused)?, out)?;
    }
    out.push(b',');
    if !is(UPPER_INFINITE) {
        write_bound(bound, fields.sized()?.ok_or(Refused)?, out)?;
    }
    out.push(if is(UPPER_INCLUSIVE) { b']' } else { b')' });
    fields.end()
}

/// `range_bound_escape`: quotes and backslashes are doubled.
fn write_bound(bound: &Form, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
    let start = out.len();
    bound.write(bytes, out)?;
    let text = out.get(start..).unwrap_or_default();
    let is_special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',') || is_space(*byte)
    };
    if text.is_empty() || text.iter().any(is_special) {
        quote(
            start,
            |byte| matches!(byte, b'"' | b'\\').then_some(byte),
            out,
        );
    }
    Ok(())
}

/// `multirange_out` of `src/backend/utils/adt/multirangetypes.c`.
pub(crate) fn write_multirange(
    bound: &Form,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let mut fields = Fields::new(bytes);
    let count = fields.u32()?;
    out.push(b'{');
    for place in 0..count {
        if place > 0 {
            out.push(b',');
        }
        write_range(bound, fields.sized()?.ok_or(Refused)?, out)?;
    }
    out.push(b'}');
    fields.end()
}
