//! Integers, numeric, money.

use crate::field::{Fields, Refused};
use crate::scalar::Scalar;

#[inline]
pub(crate) fn write_integer(integer: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
}

/// `tidout`.
pub(crate) fn write_tid(block: u32, offset: u16, out: &mut Vec<u8>) {
    out.push(b'(');
    write_integer(block, out);
    out.push(b',');
    write_integer(offset, out);
    out.push(b')');
}

/// `pg_lsn_out`.
pub(crate) fn write_lsn(high: u32, low: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{high:X}/{low:X}").as_bytes());
}

/// `int2vectorout`, `oidvectorout`: sent as arrays of one dimension.
pub(crate) fn write_vector(
    mut fields: Fields<'_>,
    element: Scalar,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    let (dimensions, nulls, _element) = (fields.i32()?, fields.i32()?, fields.u32()?);
    if nulls != 0 {
        return Err(Refused);
    }
    if dimensions == 0 {
        return fields.end();
    }
    let (len, _lower) = (fields.i32()?, fields.i32()?);
    if dimensions != 1 {
        return Err(Refused);
    }
    for place in 0..len {
        if place > 0 {
            out.push(b' ');
        }
        element.write(fields.sized()?.ok_or(Refused)?, out)?;
    }
    fields.end()
}

/// `cash_out` with `lc_monetary=C`: two digits behind the point, groups of three.
pub(crate) fn write_money(cents: i64, out: &mut Vec<u8>) {
    if cents < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let (units, cents) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(units).as_bytes();
    for (place, digit) in digits.iter().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(b',');
        }
        out.push(*digit);
    }
    out.push(b'.');
    put_padded(u32::try_from(cents).unwrap_or_default(), 2, out);
}

/// Digits with zeros in front, as many as `width` at least.
#[inline]
pub(crate) fn put_padded(number: u32, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// Signs of `numeric_send`: `NUMERIC_POS`, … of `src/backend/utils/adt/numeric.c`.
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Each digit that is sent stands for four: `NBASE` is 10000.
const DIGITS: usize = 4;
/// `NUMERIC_DSCALE_MASK`: no numeric has more digits behind the point.
const MAX_SCALE: u16 = 0x3FFF;

/// `get_str_from_var` of `numeric.c`.
pub(crate) fn write_numeric(mut fields: Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    let (count, weight) = (fields.u16()?, fields.i16()?);
    let (sign, scale) = (fields.u16()?, fields.u16()?);
    let (digits, rest) = fields.rest().as_chunks::<2>();
    if digits.len() != usize::from(count) || !rest.is_empty() || scale > MAX_SCALE {
        return Err(Refused);
    }
    match sign {
        POSITIVE => {}
        NEGATIVE => out.push(b'-'),
        NAN => {
            out.extend_from_slice(b"NaN");
            return Ok(());
        }
        INFINITY => {
            out.extend_from_slice(b"Infinity");
            return Ok(());
        }
        NEGATIVE_INFINITY => {
            out.extend_from_slice(b"-Infinity");
            return Ok(());
        }
        _ => return Err(Refused),
    }
    let digit = |place: i32| -> Result<u16, Refused> {
        let sent = usize::try_from(place)
            .ok()
            .and_then(|place| digits.get(place));
        match sent.map(|digit| u16::from_be_bytes(*digit)) {
            None => Ok(0),
            Some(digit) if digit < 10_000 => Ok(digit),
            Some(_) => Err(Refused),
        }
    };
    let weight = i32::from(weight);
    if weight < 0 {
        out.push(b'0');
    } else {
        write_integer(digit(0)?, out);
        for place in 1..=weight {
            out.extend_from_slice(&four(digit(place)?));
        }
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + usize::from(scale);
        let mut place = weight + 1;
        while out.len() < end {
            out.extend_from_slice(&four(digit(place)?));
            place += 1;
        }
        out.truncate(end);
    }
    Ok(())
}

#[inline]
fn four(digit: u16) -> [u8; DIGITS] {
    let ascii = |part: u16| b'0' + part as u8;
    [
        ascii(digit / 1000),
        ascii(digit / 100 % 10),
        ascii(digit / 10 % 10),
        ascii(digit % 10),
    ]
}
