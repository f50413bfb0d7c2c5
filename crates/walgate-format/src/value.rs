//! One value: PostgreSQL's text into JSON.

mod array;
mod binary;
mod clock;
mod document;
mod number;

use std::fmt;

use bytes::{BufMut, BytesMut};
use walgate_core::{Scalar, Shape};

use crate::Int8;
use crate::escape::write_string;

pub(crate) use binary::write_base64;

/// Appends the JSON of one value, given PostgreSQL's text of it, as the "Values" table of the
/// event's format says. It is also the door for oracle tests and fuzzing.
///
/// # Errors
///
/// When the text can't be of that shape, or is not UTF-8. What was appended until then stays.
#[inline]
pub fn write_value(
    shape: Shape,
    int8: Int8,
    text: &[u8],
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    match shape {
        Shape::Scalar(scalar) => write_scalar(scalar, int8, text, out),
        Shape::Array { element, delimiter } => array::write(element, delimiter, int8, text, out),
    }
}

#[inline]
fn write_scalar(
    scalar: Scalar,
    int8: Int8,
    text: &[u8],
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    match scalar {
        Scalar::Bool => write_bool(text, out),
        Scalar::Integer => number::write_integer(text, out),
        Scalar::BigInt => match int8 {
            Int8::Number => number::write_integer(text, out),
            Int8::String => number::write_quoted_integer(text, out),
        },
        Scalar::Float => number::write_float(text, out),
        Scalar::Json => document::write(text, out),
        Scalar::Bytea => binary::write_bytea(text, out),
        Scalar::Timestamp => clock::write_timestamp(text, out),
        Scalar::TimestampTz => clock::write_timestamptz(text, out),
        Scalar::TimeTz => clock::write_timetz(text, out),
        // Plain text needs no escaping when it comes from PostgreSQL; the check costs less than
        // an event that the source could break.
        Scalar::Plain | Scalar::Text => write_string(text, out),
    }
}

#[inline]
fn write_bool(text: &[u8], out: &mut BytesMut) -> Result<(), ValueError> {
    match text {
        b"t" => out.put_slice(b"true"),
        b"f" => out.put_slice(b"false"),
        _ => return Err(ValueError::NotBool),
    }
    Ok(())
}

/// Why a value can't be written. It never holds the value: that may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueError {
    /// The text is not UTF-8.
    NotUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// A bool that is neither `t` nor `f`.
    NotBool,
    /// An integer that is not digits.
    NotInteger,
    /// A float that is neither a number, `NaN` nor an infinity.
    NotFloat,
    /// A bytea that is not in hex form.
    NotHex,
    /// A json without content.
    EmptyJson,
    /// Text that is not an array's.
    NotArray {
        /// The first byte that makes no sense.
        at: usize,
    },
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { at } => write!(f, "text is not valid UTF-8 at byte {at}"),
            Self::NotBool => f.write_str("the text of a bool is neither t nor f"),
            Self::NotInteger => f.write_str("the text of an integer is not digits"),
            Self::NotFloat => f.write_str("the text of a float is not a number"),
            Self::NotHex => f.write_str("the text of a bytea is not in hex form"),
            Self::EmptyJson => f.write_str("the text of a json is empty"),
            Self::NotArray { at } => write!(f, "the text of an array makes no sense at byte {at}"),
        }
    }
}

impl std::error::Error for ValueError {}

impl ValueError {
    /// What to do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NotUtf8 { .. } => {
                "the database's encoding lets any bytes in (SQL_ASCII): correct the row, drop or \
                 mask the column for this sink, or let it go to the dead letters"
            }
            Self::NotHex => {
                "the connection pins bytea_output = hex; something between changed the setting"
            }
            Self::NotBool
            | Self::NotInteger
            | Self::NotFloat
            | Self::EmptyJson
            | Self::NotArray { .. } => {
                "the server sent text that PostgreSQL does not print for this type; please report \
                 the server's version and the column's type, and drop the column for this sink \
                 to go on"
            }
        }
    }
}
