//! Arrays: PostgreSQL's `{…}` into nested JSON arrays.
//!
//! The text is what `array_out` (`src/backend/utils/adt/arrayfuncs.c`) prints: an optional
//! `[lower:upper]…=` in front, braces, elements bare or in double quotes with backslashes, `NULL`
//! bare. It is read in one pass without recursion.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use walgate_core::Scalar;

use super::{ValueError, write_scalar};
use crate::Int8;

/// `MAXDIM` of `src/include/c.h`: no array of PostgreSQL has more dimensions.
const MAX_DIMENSIONS: usize = 6;

pub(super) fn write(
    element: Scalar,
    delimiter: u8,
    int8: Int8,
    text: &[u8],
    out: &mut BytesMut,
) -> Result<(), ValueError> {
    let mut scanner = Scanner {
        text,
        at: bounds(text)?,
        delimiter,
    };
    let mut depth = 0;
    // What may come next: an element or `{` (also `}` right behind `{`), or a delimiter or `}`.
    let mut open = true;
    let mut empty = false;
    loop {
        match scanner.peek()? {
            b'{' if open && depth < MAX_DIMENSIONS => {
                scanner.at += 1;
                out.put_u8(b'[');
                depth += 1;
                empty = true;
            }
            b'}' if depth > 0 && (!open || empty) => {
                scanner.at += 1;
                out.put_u8(b']');
                depth -= 1;
                if depth == 0 {
                    return scanner.end();
                }
                (open, empty) = (false, false);
            }
            byte if byte == delimiter && !open && depth > 0 => {
                scanner.at += 1;
                out.put_u8(b',');
                (open, empty) = (true, false);
            }
            _ if open && depth > 0 => {
                match scanner.element()? {
                    None => out.put_slice(b"null"),
                    Some(text) => write_scalar(element, int8, &text, out)?,
                }
                (open, empty) = (false, false);
            }
            _ => return Err(scanner.wrong()),
        }
    }
}

/// Length of the `[0:2][-1:1]=` in front; 0 when the array starts at 1, as it mostly does.
fn bounds(text: &[u8]) -> Result<usize, ValueError> {
    if text.first() != Some(&b'[') {
        return Ok(0);
    }
    let wrong = ValueError::NotArray { at: 0 };
    let len = memchr::memchr(b'=', text).ok_or(wrong)?;
    let bounds = text.get(..len).unwrap_or_default();
    let is_bound = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b':' | b'[' | b']');
    if bounds.last() != Some(&b']') || !bounds.iter().all(is_bound) {
        return Err(wrong);
    }
    Ok(len + 1)
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    delimiter: u8,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Result<u8, ValueError> {
        self.text.get(self.at).copied().ok_or_else(|| self.wrong())
    }

    const fn wrong(&self) -> ValueError {
        ValueError::NotArray { at: self.at }
    }

    fn end(&self) -> Result<(), ValueError> {
        if self.at == self.text.len() {
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    /// The text of the element that begins here; `None` for NULL.
    fn element(&mut self) -> Result<Option<Cow<'a, [u8]>>, ValueError> {
        if self.peek()? == b'"' {
            self.at += 1;
            return self.quoted().map(Some);
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        let delimiter = self.delimiter;
        let ends = |byte: &u8| *byte == delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\');
        let len = rest.iter().position(ends).ok_or(ValueError::NotArray {
            at: self.text.len(),
        })?;
        let text = rest.get(..len).unwrap_or_default();
        if text.is_empty() {
            return Err(self.wrong());
        }
        self.at += len;
        Ok((!text.eq_ignore_ascii_case(b"NULL")).then_some(Cow::Borrowed(text)))
    }

    /// An element in quotes, from behind the first quote; a copy only when there are backslashes.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, ValueError> {
        let mut copy = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let len = memchr::memchr2(b'"', b'\\', rest).ok_or(ValueError::NotArray {
                at: self.text.len(),
            })?;
            let (run, behind) = rest.split_at(len);
            self.at += len + 1;
            if behind.first() == Some(&b'"') {
                if copy.is_empty() {
                    return Ok(Cow::Borrowed(run));
                }
                copy.extend_from_slice(run);
                return Ok(Cow::Owned(copy));
            }
            copy.extend_from_slice(run);
            copy.push(self.peek()?);
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn array(element: Scalar, text: &str) -> Result<String, ValueError> {
        let mut out = BytesMut::new();
        write(element, b',', Int8::Number, text.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out.to_vec()).expect("JSON is UTF-8"))
    }

    #[test]
    fn what_is_not_an_array_is_refused() {
        let bad = [
            "",
            "{",
            "}",
            "{}}",
            "{{}",
            "{,}",
            "{1,}",
            "{,1}",
            "{1,,2}",
            "1",
            "{1}2",
            "{1}{2}",
            "{\"a}",
            "{\"a\\",
            "{\"a\"b}",
            "{a\"b\"}",
            "{{1}{2}}",
            "[0:1]",
            "[0:1={1}",
            "[0:1]=",
            "[0:1]=1",
            "{{{{{{{1}}}}}}}",
            "{{1},}",
            "{a\\b}",
            "x={1}",
        ];
        for text in bad {
            let result = array(Scalar::Text, text);
            assert!(
                matches!(result, Err(ValueError::NotArray { .. })),
                "{text}: {result:?}"
            );
        }
    }

    #[test]
    fn up_to_six_dimensions() {
        assert_eq!(
            array(Scalar::Integer, "{{{{{{1}}}}}}").as_deref(),
            Ok("[[[[[[1]]]]]]")
        );
    }

    /// An element as `array_out` prints it.
    fn printed(element: Option<&str>) -> String {
        let Some(text) = element else {
            return "NULL".into();
        };
        let special = |c: char| "\"\\{},".contains(c) || c.is_ascii_whitespace() || c == '\u{b}';
        if !text.is_empty() && !text.eq_ignore_ascii_case("null") && !text.contains(special) {
            return text.into();
        }
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    fn tree() -> impl Strategy<Value = (Value, String)> {
        let text = prop_oneof![any::<String>(), "[NULnul]{0,4}", "[a{},\"\\\\ \n]{0,6}"];
        let leaf = proptest::option::weighted(0.8, text)
            .prop_map(|element| (json!(element), printed(element.as_deref())));
        leaf.prop_recursive(5, 64, 4, |inner| {
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                let (values, texts): (Vec<Value>, Vec<String>) = items.into_iter().unzip();
                (Value::Array(values), format!("{{{}}}", texts.join(",")))
            })
        })
    }

    proptest! {
        #[test]
        fn reads_what_array_out_prints(
            items in proptest::collection::vec(tree(), 0..4),
            bounds in proptest::option::of((-9i32..9, 0i32..9)),
        ) {
            let (values, texts): (Vec<Value>, Vec<String>) = items.into_iter().unzip();
            let prefix = bounds.map_or(String::new(), |(low, len)| format!("[{low}:{}]=", low + len));
            let json = array(Scalar::Text, &format!("{prefix}{{{}}}", texts.join(",")))?;
            prop_assert_eq!(serde_json::from_str::<Value>(&json)?, Value::Array(values));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}\",:=a1\\\\NUL-]{0,24}") {
            if let Ok(json) = array(Scalar::Text, &text) {
                serde_json::from_str::<Value>(&json)?;
            }
        }
    }
}
