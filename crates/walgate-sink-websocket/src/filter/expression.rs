//! A filter as a tree, and the text of a tree.

use std::fmt;

/// A condition. What can be said by another form is kept as that form (`between` as two
/// comparisons, `not in` as `not (… in …)`), so that there is one way for each meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// One test of one column.
    Test {
        /// The column's name as PostgreSQL has it, without quotes.
        column: String,
        /// What is asked of it.
        predicate: Predicate,
    },
    /// The opposite.
    Not(Box<Self>),
    /// All of at least two, none of which is an `And`.
    And(Vec<Self>),
    /// Any of at least two, none of which is an `Or`.
    Or(Vec<Self>),
}

/// What is asked of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Predicate {
    /// `column < literal` and its like.
    Compare(Comparison, Literal),
    /// `column in (literal, …)`.
    In(Vec<Literal>),
    /// `column is null`.
    Null,
    /// `column is not distinct from literal`.
    Same(Literal),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A literal as it was written. What it means, the column's type decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    /// Digits, perhaps with a sign, a point and an exponent.
    Number(String),
    /// A text, or a bare word.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// `claims.name`, in a rule: what a token says. No column is ever compared with it as it stands.
    Claim(String),
}

/// The words that have a meaning, so that a column of such a name has to be quoted.
const KEYWORDS: [&str; 14] = [
    "and", "between", "distinct", "false", "from", "ilike", "in", "is", "like", "not", "null",
    "or", "similar", "true",
];

/// Whether a word has a meaning of its own, in any case.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(word))
}

/// Whether a name may begin with it without quotes.
pub(super) fn begins_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Whether a name may go on with it without quotes.
pub(super) fn continues_name(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphanumeric()
}

impl Comparison {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// Whether it asks for an order and not only for equality.
    pub(super) const fn is_ordering(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}

impl Expression {
    /// The opposite of a condition.
    pub(super) fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// All of these conditions; there is at least one.
    pub(super) fn all(parts: Vec<Self>) -> Self {
        Self::joined(parts, Self::And, |part| match part {
            Self::And(parts) => Ok(parts),
            other => Err(other),
        })
    }

    /// Any of these conditions; there is at least one.
    pub(super) fn any(parts: Vec<Self>) -> Self {
        Self::joined(parts, Self::Or, |part| match part {
            Self::Or(parts) => Ok(parts),
            other => Err(other),
        })
    }

    fn joined(
        parts: Vec<Self>,
        join: fn(Vec<Self>) -> Self,
        open: fn(Self) -> Result<Vec<Self>, Self>,
    ) -> Self {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match open(part) {
                Ok(inner) => flat.extend(inner),
                Err(part) => flat.push(part),
            }
        }
        match flat.pop() {
            Some(only) if flat.is_empty() => only,
            last => {
                flat.extend(last);
                join(flat)
            }
        }
    }

    /// Whether a row has to have one of a few values in some column.
    pub(super) fn has_key(&self) -> bool {
        match self {
            Self::Test { predicate, .. } => match predicate {
                Predicate::Compare(comparison, _) => *comparison == Comparison::Equal,
                Predicate::In(values) => values.len() <= super::index::MAX_KEYS,
                Predicate::Same(_) => true,
                Predicate::Null => false,
            },
            Self::And(parts) => parts.iter().any(Self::has_key),
            Self::Not(_) | Self::Or(_) => false,
        }
    }

    /// Visits the tests in the order of the text.
    pub(super) fn each_test<'a>(&'a self, visit: &mut impl FnMut(&'a str, &'a Predicate)) {
        match self {
            Self::Test { column, predicate } => visit(column, predicate),
            Self::Not(inner) => inner.each_test(visit),
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.each_test(visit);
                }
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test { column, predicate } => {
                write_name(f, column)?;
                predicate.fmt(f)
            }
            Self::Not(inner) if matches!(**inner, Self::And(_) | Self::Or(_)) => {
                write!(f, "not ({inner})")
            }
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::And(parts) => {
                for (place, part) in parts.iter().enumerate() {
                    let and = if place == 0 { "" } else { " and " };
                    if matches!(part, Self::Or(_)) {
                        write!(f, "{and}({part})")?;
                    } else {
                        write!(f, "{and}{part}")?;
                    }
                }
                Ok(())
            }
            Self::Or(parts) => write_list(f, parts, " or "),
        }
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compare(comparison, literal) => write!(f, " {} {literal}", comparison.symbol()),
            Self::In(values) => {
                f.write_str(" in (")?;
                write_list(f, values, ", ")?;
                f.write_str(")")
            }
            Self::Null => f.write_str(" is null"),
            Self::Same(literal) => write!(f, " is not distinct from {literal}"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => write_quoted(f, text, '\''),
            Self::Bool(value) => value.fmt(f),
            Self::Claim(name) => write!(f, "claims.{name}"),
        }
    }
}

fn write_list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    parts: &[T],
    between: &str,
) -> fmt::Result {
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

fn write_name(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let bare = name.starts_with(begins_name) && name.chars().all(continues_name);
    if bare && !is_keyword(name) {
        f.write_str(name)
    } else {
        write_quoted(f, name, '"')
    }
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    write!(f, "{quote}")?;
    for c in text.chars() {
        if c == quote {
            write!(f, "{quote}")?;
        }
        write!(f, "{c}")?;
    }
    write!(f, "{quote}")
}
