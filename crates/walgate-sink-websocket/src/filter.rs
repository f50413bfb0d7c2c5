//! Row filters: which rows a subscriber wants to hear of, and which it may.
//!
//! A [`Filter`] is text that was parsed once. [`Filter::bind`] gives it a definition of a table:
//! names become places, literals become values of the column's type, and what cannot be right is
//! an error then and not a silence later. The [`Bound`] filter is evaluated on a frame's bytes in
//! three-valued logic and allocates nothing; [`Bound::judge`] says what a change is to its
//! subscriber. An [`Index`] finds the few of many bound filters that a change can concern.
//!
//! The language is described for those who write filters in the crate's `FILTERS.md`.
//!
//! Nothing here knows a runtime, a socket or a clock.

mod address;
mod bind;
mod bind_error;
mod bound;
mod claims;
mod column_kind;
mod constant;
mod decimal;
mod expression;
mod index;
mod moment;
mod parse_error;
mod parser;
mod row_keys;
mod scalar;
mod scanner;
mod truth;
mod verdict;

use std::fmt;
use std::str::FromStr;

pub use bind_error::BindError;
pub use bound::Bound;
pub use claims::Template;
pub(crate) use column_kind::known_type_name;
pub use index::Index;
pub use parse_error::{ParseError, ParseErrorKind};
pub use truth::Truth;
pub use verdict::Verdict;

use expression::{Expression, Literal, Predicate};

/// The longest text of a filter, in bytes: an address line and a header of the servers in between
/// take 8 KiB, and a filter must leave room for the rest of them.
pub const MAX_FILTER_BYTES: usize = 4 << 10;

/// How deep parentheses and `not` may nest: evaluation goes as deep as the text does.
pub const MAX_DEPTH: usize = 32;

/// The most tests of a column in one filter; each may be evaluated for each change.
pub const MAX_TESTS: usize = 256;

/// The most values in one `in (…)`.
pub const MAX_VALUES: usize = 1000;

/// A condition on the columns of a row, not yet of any table.
///
/// Its [`Display`](fmt::Display) is a text that parses to the same filter again (it may be longer
/// than [`MAX_FILTER_BYTES`]). Literals are the subscriber's words: they belong into no log.
///
/// ```
/// use walgate_sink_websocket::filter::Filter;
/// let filter: Filter = "level in (ERROR, FATAL) and not experiment_id = 20".parse()?;
/// assert_eq!(
///     filter.to_string(),
///     "level in ('ERROR', 'FATAL') and not experiment_id = 20"
/// );
/// # Ok::<(), walgate_sink_websocket::filter::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    expression: Expression,
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// What is wrong with the text, and at which byte of it.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parser::parse(text).map(|expression| Self { expression })
    }

    /// The filter that wants one of these values in a column: the rule that a claim makes. The
    /// column's type decides how they are read; without any value nothing matches. It is not
    /// bound by [`MAX_VALUES`]: whoever signs a claim bounds it.
    pub fn any_of<V: Into<String>>(
        column: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter();
        Self {
            expression: Expression::Test {
                column: column.into(),
                predicate: Predicate::In(values.map(|v| Literal::Text(v.into())).collect()),
            },
        }
    }

    /// How many tests are made for every change of a table because of it: none when an [`Index`] surely
    /// finds it by a value that a row needs to have.
    pub(crate) fn standing_tests(&self) -> usize {
        if self.expression.has_key() {
            return 0;
        }
        let mut tests = 0;
        self.expression.each_test(&mut |_, _| tests += 1);
        tests
    }

    /// The names of the columns that it tests, each once, in the order of the text.
    pub fn columns(&self) -> Vec<&str> {
        let mut columns = Vec::new();
        self.expression.each_test(&mut |column, _| {
            if !columns.contains(&column) {
                columns.push(column);
            }
        });
        columns
    }
}

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_value_finds_is_tested_for_every_change() {
        let many = vec!["1"; 65].join(", ");
        for (text, tests) in [
            ("a = 1", 0),
            ("a in (1, 2)", 0),
            ("a is not distinct from 1", 0),
            ("b > 1 and a = 1 and c < 2", 0),
            ("b > 1 and (a = 1 or a = 2)", 3),
            ("a <> 1", 1),
            ("not a = 1", 1),
            ("a is null", 1),
            ("a between 1 and 2", 2),
            (&format!("a in ({many})"), 1),
        ] {
            let filter = Filter::parse(text).expect(text);
            assert_eq!(filter.standing_tests(), tests, "{text}");
        }
    }
}
