//! The JSON of a value into PostgreSQL's text: the way back of the "Values" table of the format.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use walgate_core::{Scalar, Shape};

use crate::DecodeError;
use crate::clock;
use crate::scanner::{items, string};

/// `MAXDIM` of `src/include/c.h`: no array of PostgreSQL has more dimensions.
const MAX_DIMENSIONS: usize = 6;

/// Appends PostgreSQL's text of a value; false when it is NULL.
///
/// `null` is NULL, also where a `json` column holds the `null` of JSON: the event doesn't tell them apart.
pub(crate) fn put_text(shape: Shape, json: &str, out: &mut Vec<u8>) -> Result<bool, Refused> {
    if json.trim_ascii() == "null" {
        return Ok(false);
    }
    match shape {
        Shape::Scalar(scalar) => put_scalar(scalar, json, out)?,
        Shape::Array { element, delimiter } => put_array(element, delimiter, json, 1, out)?,
    }
    Ok(true)
}

/// What is wrong with a value. It never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl From<DecodeError> for Refused {
    fn from(_: DecodeError) -> Self {
        Self("its JSON is not that of its type")
    }
}

fn put_scalar(scalar: Scalar, json: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    // Blanks around it may be what the column holds.
    if scalar == Scalar::Json {
        out.extend_from_slice(json.as_bytes());
        return Ok(());
    }
    let json = json.trim_ascii();
    match scalar {
        Scalar::Bool => out.push(match json {
            "true" => b't',
            "false" => b'f',
            _ => return Err(Refused("it is neither true nor false")),
        }),
        Scalar::Integer | Scalar::BigInt => put_integer(json, out)?,
        Scalar::Float => put_float(json, out)?,
        Scalar::Bytea => put_bytea(&string(json)?, out)?,
        Scalar::Timestamp => clock::put_timestamp(&string(json)?, out),
        Scalar::TimestampTz => clock::put_timestamptz(&string(json)?, out),
        Scalar::TimeTz => clock::put_timetz(&string(json)?, out),
        Scalar::Json | Scalar::Plain | Scalar::Text => {
            out.extend_from_slice(string(json)?.as_bytes());
        }
    }
    Ok(())
}

/// A number, or with `int8 = "string"` a string.
fn put_integer(json: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    let unquoted = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let digits = unquoted.unwrap_or(json);
    let magnitude = digits.strip_prefix('-').unwrap_or(digits);
    if magnitude.is_empty() || !magnitude.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refused("it is not a whole number"));
    }
    out.extend_from_slice(digits.as_bytes());
    Ok(())
}

fn put_float(json: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let text = match json {
        "\"NaN\"" => "NaN",
        "\"Infinity\"" => "Infinity",
        "\"-Infinity\"" => "-Infinity",
        number if number.bytes().all(is_number) && number.parse::<f64>().is_ok() => number,
        _ => return Err(Refused("it is not a number")),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_bytea(base64: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let bytes = BASE64_STANDARD
        .decode(base64)
        .map_err(|_| Refused("it is not base64"))?;
    out.reserve(2 + 2 * bytes.len());
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    Ok(())
}

/// `array_out`'s form, with every element quoted that is not NULL.
fn put_array(
    element: Scalar,
    delimiter: u8,
    json: &str,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refused> {
    if depth > MAX_DIMENSIONS {
        return Err(Refused("an array has at most six dimensions"));
    }
    // An array of `json` whose elements are arrays looks like one of two dimensions: read as elements,
    // both are written the same.
    let may_nest = element != Scalar::Json;
    let mut wrong = None;
    let mut first = true;
    out.push(b'{');
    let mut text = Vec::new();
    items(json, |item| {
        if !std::mem::take(&mut first) {
            out.push(delimiter);
        }
        if may_nest && item.trim_ascii_start().starts_with('[') {
            if let Err(refused) = put_array(element, delimiter, item, depth + 1, out) {
                wrong = Some(refused);
                return Err(DecodeError::Senseless("after"));
            }
            return Ok(());
        }
        text.clear();
        match put_text(Shape::Scalar(element), item, &mut text) {
            Ok(true) => put_quoted(&text, out),
            Ok(false) => out.extend_from_slice(b"NULL"),
            Err(refused) => {
                wrong = Some(refused);
                return Err(DecodeError::Senseless("after"));
            }
        }
        Ok(())
    })
    .map_err(|error| wrong.unwrap_or_else(|| error.into()))?;
    out.push(b'}');
    Ok(())
}

fn put_quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shape: Shape, json: &str) -> Result<Option<String>, Refused> {
        let mut out = Vec::new();
        let is_there = put_text(shape, json, &mut out)?;
        Ok(is_there.then(|| String::from_utf8(out).expect("UTF-8")))
    }

    fn array(element: Scalar, json: &str) -> Result<Option<String>, Refused> {
        let delimiter = b',';
        text(Shape::Array { element, delimiter }, json)
    }

    #[test]
    fn values_are_what_postgresql_prints() {
        let scalars = [
            (Scalar::Bool, "true", "t"),
            (Scalar::Integer, "-7", "-7"),
            (Scalar::BigInt, "\"9007199254740993\"", "9007199254740993"),
            (Scalar::Float, "1e-07", "1e-07"),
            (Scalar::Float, "\"-Infinity\"", "-Infinity"),
            (Scalar::Json, " [1, 2]", " [1, 2]"),
            (Scalar::Bytea, "\"3q2+7w==\"", "\\xdeadbeef"),
            (Scalar::Plain, "\"19.90\"", "19.90"),
            (Scalar::Text, "\"a\\\"\\u0001\"", "a\"\u{1}"),
        ];
        for (scalar, json, expected) in scalars {
            assert_eq!(text(Shape::Scalar(scalar), json), Ok(Some(expected.into())));
        }
        assert_eq!(text(Shape::TEXT, " null "), Ok(None));
    }

    #[test]
    fn arrays_are_nested_and_quoted() {
        for (element, json, expected) in [
            (Scalar::Integer, "[]", "{}"),
            (
                Scalar::Integer,
                "[[1,null],[-3,4]]",
                r#"{{"1",NULL},{"-3","4"}}"#,
            ),
            (
                Scalar::Text,
                r#"["a,b","NULL",null,"\"\\"]"#,
                r#"{"a,b","NULL",NULL,"\"\\"}"#,
            ),
            (
                Scalar::Json,
                r#"[[1],{"a":"b"}]"#,
                r#"{"[1]","{\"a\":\"b\"}"}"#,
            ),
        ] {
            assert_eq!(array(element, json), Ok(Some(expected.into())));
        }
        for json in ["1", "[1", "[1,]", "[[[[[[[1]]]]]]]", "[true]"] {
            assert!(array(Scalar::Integer, json).is_err(), "{json}");
        }
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (scalar, json) in [
            (Scalar::Bool, "1"),
            (Scalar::Integer, "1.5"),
            (Scalar::Integer, "\"\""),
            (Scalar::BigInt, "-"),
            (Scalar::Float, "\"inf\""),
            (Scalar::Float, "e"),
            (Scalar::Bytea, "\"*\""),
            (Scalar::Text, "{}"),
        ] {
            assert!(text(Shape::Scalar(scalar), json).is_err(), "{json}");
        }
    }
}
