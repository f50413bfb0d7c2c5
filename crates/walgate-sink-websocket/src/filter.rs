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
mod column_kind;
mod constant;
mod decimal;
mod expression;
mod index;
mod moment;
mod parse_error;
mod parser;
mod scalar;
mod scanner;
mod truth;
mod verdict;

use std::fmt;
use std::str::FromStr;

pub use bind_error::BindError;
pub use bound::Bound;
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
