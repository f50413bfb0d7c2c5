//! What is wrong with the text of a filter.

use super::{MAX_DEPTH, MAX_FILTER_BYTES, MAX_TESTS, MAX_VALUES};

/// A filter that cannot be read, with the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}, at byte {at} of the filter")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where: bytes from the beginning of the text, from 0.
    pub at: usize,
}

/// What is wrong with the text of a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The text is too long.
    #[error("the filter has {0} bytes, more than {MAX_FILTER_BYTES}")]
    TooLong(usize),
    /// Parentheses and `not` nest too deep.
    #[error("parentheses and not nest deeper than {MAX_DEPTH}")]
    TooDeep,
    /// There are too many tests.
    #[error("more than {MAX_TESTS} conditions; an in (…) of many values is one")]
    TooManyTests,
    /// A list has too many values.
    #[error("more than {MAX_VALUES} values in a list")]
    TooManyValues,
    /// There is nothing to read.
    #[error("the filter is empty; to hear of every row, give none")]
    Empty,
    /// A text or a quoted name has no end.
    #[error("a quote is opened here and not closed; a quote within is written twice")]
    Unclosed,
    /// No text and no name of PostgreSQL contains it.
    #[error("a NUL byte is part of no text and no name")]
    Nul,
    /// A quoted name has no characters.
    #[error("\"\" is no name")]
    EmptyName,
    /// Something else was to come.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A keyword stands where a name or a literal belongs.
    #[error("the keyword {word} stands where {wanted} belongs; quote it as {quoted}")]
    Keyword {
        /// The keyword as it was written.
        word: String,
        /// What belongs there.
        wanted: &'static str,
        /// How it is written if it was meant.
        quoted: String,
    },
    /// A comparison with null is never true.
    #[error("nothing is equal to null or ordered by it; use is null or is not null")]
    Null,
    /// A name in double quotes stands where a literal belongs.
    #[error(
        "a column is compared with a literal and never with another column; a text has single \
         quotes"
    )]
    NameAsLiteral,
    /// Something that SQL has and filters have not.
    #[error("{0}")]
    Unsupported(&'static str),
}
