//! The words of a filter's text.

use super::expression::{Literal, begins_name, continues_name, is_keyword};
use super::parse_error::{ParseError, ParseErrorKind};

/// What stands before the name of a claim, in a rule.
const CLAIMS: &str = "claims.";

/// A place in the text. Every read skips white space first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Whether `claims.name` is a literal.
    knows_claims: bool,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            knows_claims: false,
        }
    }

    /// The words of a rule, in which `claims.name` stands for what a token says.
    pub(super) const fn of_rule(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            knows_claims: true,
        }
    }

    /// Takes `claims.name` if it is next and has a meaning here.
    pub(super) fn claim(&mut self) -> Option<Literal> {
        let name = self.peek_literal_word().strip_prefix(CLAIMS)?;
        if !self.knows_claims || name.is_empty() {
            return None;
        }
        self.at += CLAIMS.len() + name.len();
        Some(Literal::Claim(name.to_owned()))
    }

    /// Where the next word begins.
    pub(super) fn place(&mut self) -> usize {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
        self.at
    }

    /// An error at the next word.
    pub(super) fn error<T>(&mut self, kind: ParseErrorKind) -> Result<T, ParseError> {
        let at = self.place();
        Err(ParseError { kind, at })
    }

    /// An error at the next word, which should have been something else.
    pub(super) fn expected<T>(&mut self, what: &'static str) -> Result<T, ParseError> {
        self.error(ParseErrorKind::Expected(what))
    }

    pub(super) fn is_at_end(&mut self) -> bool {
        self.place() == self.text.len()
    }

    /// Whether a symbol is next.
    pub(super) fn is_next(&mut self, symbol: &str) -> bool {
        self.place();
        self.rest().starts_with(symbol)
    }

    /// Takes a symbol if it is next.
    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_next(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }

    /// Takes a keyword if it is next, in any case.
    pub(super) fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek_word().eq_ignore_ascii_case(keyword);
        if found {
            self.at += keyword.len();
        }
        found
    }

    /// The bare name that is next; empty when there is none.
    pub(super) fn peek_word(&mut self) -> &'a str {
        self.place();
        let rest = self.rest();
        if rest.starts_with(begins_name) {
            prefix(rest, continues_name)
        } else {
            ""
        }
    }

    /// Takes the name of a column.
    pub(super) fn name(&mut self) -> Result<String, ParseError> {
        const WANTED: &str = "the name of a column";
        let at = self.place();
        if self.symbol("\"") {
            let name = self.quoted(at, '"')?;
            if name.is_empty() {
                let kind = ParseErrorKind::EmptyName;
                return Err(ParseError { kind, at });
            }
            return Ok(name);
        }
        let word = self.peek_word();
        if word.is_empty() {
            return self.expected(WANTED);
        }
        if is_keyword(word) {
            return self.keyword_error(word, WANTED, format!("\"{word}\""));
        }
        self.at += word.len();
        Ok(word.to_owned())
    }

    /// Takes a literal: a text in quotes, a number, a keyword of a value, a bare word.
    pub(super) fn literal(&mut self) -> Result<Literal, ParseError> {
        const WANTED: &str = "a literal";
        let at = self.place();
        if self.symbol("'") {
            return self.quoted(at, '\'').map(Literal::Text);
        }
        if let Some(claim) = self.claim() {
            return Ok(claim);
        }
        let word = self.peek_literal_word();
        match word {
            "" if self.rest().starts_with('"') => self.error(ParseErrorKind::NameAsLiteral),
            "" => self.expected(WANTED),
            _ if word.eq_ignore_ascii_case("null") => self.error(ParseErrorKind::Null),
            _ => {
                let literal = match bool_keyword(word) {
                    Some(value) => Literal::Bool(value),
                    None if is_keyword(word) => {
                        return self.keyword_error(word, WANTED, format!("'{word}'"));
                    }
                    None if is_number(word) => Literal::Number(word.to_owned()),
                    None => Literal::Text(word.to_owned()),
                };
                self.at += word.len();
                Ok(literal)
            }
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn keyword_error<T>(
        &mut self,
        word: &str,
        wanted: &'static str,
        quoted: String,
    ) -> Result<T, ParseError> {
        let word = word.to_owned();
        self.error(ParseErrorKind::Keyword {
            word,
            wanted,
            quoted,
        })
    }

    /// The bare literal that is next. It holds what stands in words, dates, addresses and
    /// identifiers, as people type them in a shell.
    fn peek_literal_word(&mut self) -> &'a str {
        self.place();
        let word = prefix(self.rest(), |c| {
            continues_name(c) || matches!(c, '.' | ':' | '+' | '-' | '/' | '@')
        });
        // `--` and the like are no literal: behind a sign or a point there is something.
        let signed = word.strip_prefix(['+', '-', '.']).unwrap_or(word);
        if signed.starts_with(|c: char| continues_name(c) || c == '.' || c == ':') {
            word
        } else {
            ""
        }
    }

    /// Takes what is left of a quoted text that was opened at `open`.
    fn quoted(&mut self, open: usize, quote: char) -> Result<String, ParseError> {
        let mut text = String::new();
        let mut rest = self.rest().char_indices();
        while let Some((at, c)) = rest.next() {
            if c == '\0' {
                let at = self.at + at;
                let kind = ParseErrorKind::Nul;
                return Err(ParseError { kind, at });
            }
            if c == quote {
                let twice = rest.as_str().starts_with(quote);
                if !twice {
                    self.at += at + quote.len_utf8();
                    return Ok(text);
                }
                rest.next();
            }
            text.push(c);
        }
        let kind = ParseErrorKind::Unclosed;
        Err(ParseError { kind, at: open })
    }
}

/// The beginning of a text that consists of such characters.
fn prefix(text: &str, mut wanted: impl FnMut(char) -> bool) -> &str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn bool_keyword(word: &str) -> Option<bool> {
    if word.eq_ignore_ascii_case("true") {
        Some(true)
    } else if word.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Whether a word is a number: `-1`, `20`, `1.5`, `.5`, `1e6`.
fn is_number(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_is_sound = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    integer.len() + fraction.len() > 0 && digits(integer) && digits(fraction) && exponent_is_sound
}
