//! JSON cut into its parts, each verbatim. No recursion: a `json` column may be as deep as it likes.

use std::borrow::Cow;

use crate::DecodeError;

/// A cursor over the text of an object or an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Stands behind the opening bracket.
    fn open(text: &'a str, bracket: u8) -> Result<Self, DecodeError> {
        let mut scanner = Self { text, at: 0 };
        scanner.expect(bracket)?;
        Ok(scanner)
    }

    fn wrong(&self) -> DecodeError {
        DecodeError::NotJson { at: self.at }
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        let byte = self.text.as_bytes().get(self.at);
        byte.copied().ok_or_else(|| self.wrong())
    }

    fn skip_blanks(&mut self) {
        while self
            .text
            .as_bytes()
            .get(self.at)
            .is_some_and(u8::is_ascii_whitespace)
        {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), DecodeError> {
        self.skip_blanks();
        if self.peek()? != byte {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    /// Passes a string, from its first quote to behind its last.
    fn skip_string(&mut self) -> Result<(), DecodeError> {
        self.expect(b'"')?;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let next = memchr::memchr2(b'"', b'\\', rest).ok_or_else(|| self.wrong())?;
            self.at += next + 1;
            if rest.get(next) == Some(&b'"') {
                return Ok(());
            }
            // Whatever is escaped is no end.
            self.peek()?;
            self.at += 1;
        }
    }

    /// The value that begins here, up to the comma or the bracket behind it, blanks included.
    fn value(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.at;
        let mut open = Vec::new();
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                b',' if open.is_empty() => break,
                byte @ (b'}' | b']') => match open.pop() {
                    Some(expected) if expected == byte => {}
                    Some(_) => return Err(self.wrong()),
                    None => break,
                },
                _ => {}
            }
            self.at += 1;
        }
        let value = self.text.get(start..self.at).unwrap_or_default();
        if value.trim_ascii().is_empty() {
            return Err(self.wrong());
        }
        Ok(value)
    }

    /// Whether another part comes; `first` when none has come.
    fn goes_on(&mut self, first: bool, end: u8) -> Result<bool, DecodeError> {
        let start = self.at;
        self.skip_blanks();
        let next = self.peek()?;
        if next == end {
            self.at += 1;
            self.skip_blanks();
            return match self.at == self.text.len() {
                true => Ok(false),
                false => Err(self.wrong()),
            };
        }
        match first {
            // The blanks belong to the part.
            true => self.at = start,
            false => self.expect(b',')?,
        }
        Ok(true)
    }
}

/// Hands the members of an object over: the name, and the value verbatim with the blanks around it.
pub(crate) fn members<'a>(
    text: &'a str,
    mut take: impl FnMut(Cow<'a, str>, &'a str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut scanner = Scanner::open(text, b'{')?;
    let mut first = true;
    while scanner.goes_on(first, b'}')? {
        first = false;
        scanner.skip_blanks();
        let start = scanner.at;
        scanner.skip_string()?;
        let name = string(text.get(start..scanner.at).unwrap_or_default())?;
        scanner.expect(b':')?;
        take(name, scanner.value()?)?;
    }
    Ok(())
}

/// Hands the items of an array over, verbatim with the blanks around them.
pub(crate) fn items<'a>(
    text: &'a str,
    mut take: impl FnMut(&'a str) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut scanner = Scanner::open(text, b'[')?;
    let mut first = true;
    while scanner.goes_on(first, b']')? {
        first = false;
        take(scanner.value()?)?;
    }
    Ok(())
}

/// The text of a JSON string; a copy only where something is escaped.
pub(crate) fn string(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    let wrong = || DecodeError::NotJson { at: 0 };
    let text = text.trim_ascii();
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .ok_or_else(wrong)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return match inner.contains('"') {
            true => Err(wrong()),
            false => Ok(Cow::Borrowed(inner)),
        };
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => return Err(wrong()),
            '\\' => plain.push(escaped(&mut chars).ok_or_else(wrong)?),
            other => plain.push(other),
        }
    }
    Ok(Cow::Owned(plain))
}

/// What stands behind a backslash (RFC 8259 section 7).
fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => match code_unit(chars)? {
            high @ 0xD800..=0xDBFF => {
                if chars.next()? != '\\' || chars.next()? != 'u' {
                    return None;
                }
                let units = [high, code_unit(chars)?];
                char::decode_utf16(units).next()?.ok()?
            }
            unit => char::from_u32(u32::from(unit))?,
        },
        other @ ('"' | '\\' | '/') => other,
        _ => return None,
    })
}

fn code_unit(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    let mut unit = 0u16;
    for _ in 0..4 {
        let digit = u16::try_from(chars.next()?.to_digit(16)?).ok()?;
        unit = unit << 4 | digit;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<Vec<(String, String)>, DecodeError> {
        let mut parts = Vec::new();
        members(text, |name, value| {
            parts.push((name.into_owned(), value.to_owned()));
            Ok(())
        })?;
        Ok(parts)
    }

    #[test]
    fn values_are_verbatim() {
        let found = parts(r#"{"a": {"x":[1,"}\""]} ,"b\u00e4":null}"#).expect("JSON");
        let expected = [("a", r#" {"x":[1,"}\""]} "#), ("bä", "null")];
        assert_eq!(found, expected.map(|(a, b)| (a.into(), b.into())));
        assert_eq!(parts("{}").expect("JSON"), []);
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(parts(&deep).expect("JSON").len(), 1);
    }

    #[test]
    fn what_is_cut_or_malformed_is_refused() {
        let whole = r#"{"a":{"x":[1,"é"]},"b":"c\n"}"#;
        assert!(parts(whole).is_ok());
        for (end, _) in whole.char_indices() {
            assert!(parts(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        for text in [
            "",
            "[]",
            "{,}",
            "{\"a\":1,}",
            "{\"a\":}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":1}x",
            "{\"a\":[}",
            "{\"a\":1 \"b\":2}\u{e9}",
            "{\"\\x\":1}",
            "{\"\\ud800\":1}",
        ] {
            assert!(parts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strings_lose_their_escapes() {
        for (text, plain) in [
            (r#""""#, ""),
            (r#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u0000\ud83d\ude00é""#, "\0😀é"),
        ] {
            assert_eq!(string(text).as_deref(), Ok(plain));
        }
        for text in ["", "\"", "a", "\"\\\"", r#""\u12""#, "\"a\"b\""] {
            assert!(string(text).is_err(), "{text}");
        }
    }
}
