//! Geometric types: `src/backend/utils/adt/geo_ops.c`.

use crate::field::{Fields, Refused};
use crate::float::write_float8;

/// What stands around a list of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Around {
    Nothing,
    Brackets,
    Parentheses,
}

pub(crate) fn write_point(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.push(b'(');
    write_float8(fields.f64()?, out);
    out.push(b',');
    write_float8(fields.f64()?, out);
    out.push(b')');
    Ok(())
}

/// `path_encode`.
pub(crate) fn write_points(
    fields: &mut Fields<'_>,
    count: i32,
    around: Around,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    match around {
        Around::Nothing => {}
        Around::Brackets => out.push(b'['),
        Around::Parentheses => out.push(b'('),
    }
    for place in 0..count {
        if place > 0 {
            out.push(b',');
        }
        write_point(fields, out)?;
    }
    match around {
        Around::Nothing => {}
        Around::Brackets => out.push(b']'),
        Around::Parentheses => out.push(b')'),
    }
    Ok(())
}

pub(crate) fn write_path(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    let around = match fields.u8()? {
        0 => Around::Brackets,
        1 => Around::Parentheses,
        _ => return Err(Refused),
    };
    let count = fields.i32()?;
    write_points(fields, count, around, out)
}

pub(crate) fn write_polygon(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    let count = fields.i32()?;
    write_points(fields, count, Around::Parentheses, out)
}

pub(crate) fn write_line(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    for lead in [b'{', b',', b','] {
        out.push(lead);
        write_float8(fields.f64()?, out);
    }
    out.push(b'}');
    Ok(())
}

pub(crate) fn write_circle(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    out.push(b'<');
    write_point(fields, out)?;
    out.push(b',');
    write_float8(fields.f64()?, out);
    out.push(b'>');
    Ok(())
}
