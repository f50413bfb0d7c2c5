//! Patterns of table names: `public.orders`, `sales.*`, `*.audit_*`, `"My Schema"."T.1"`.

use std::fmt;
use std::str::FromStr;

/// Tables: `schema.table`, with `*` for any characters (`public.*`, `*.orders`, `public.log_*`).
///
/// Names are compared as PostgreSQL stores them, nothing is folded to lower case. A name that holds
/// a dot, a star or a quote is quoted as in SQL: `"odd.schema"."a ""table"""`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TablePattern {
    text: String,
    schema: NamePattern,
    table: NamePattern,
}

/// One side of the dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum NamePattern {
    /// This name alone.
    Exact(String),
    /// What stands before the first `*`, between two of them, and behind the last.
    Wildcard {
        first: String,
        middle: Vec<String>,
        last: String,
    },
}

/// Text that is not a pattern of table names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the table pattern {text:?} {problem}")]
pub struct ParsePatternError {
    text: String,
    problem: &'static str,
}

impl ParsePatternError {
    /// What is wrong, as the end of a sentence that begins with the text: `names no schema`.
    pub const fn problem(&self) -> &'static str {
        self.problem
    }
}

impl TablePattern {
    /// Whether a table is meant.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.matches(schema) && self.table.matches(table)
    }

    /// Schema and table, when it names one table and has no wildcard.
    pub fn one_table(&self) -> Option<(&str, &str)> {
        match (&self.schema, &self.table) {
            (NamePattern::Exact(schema), NamePattern::Exact(table)) => Some((schema, table)),
            _ => None,
        }
    }
}

impl NamePattern {
    /// A name without quotes, in which each `*` stands for any characters.
    fn unquoted(name: &str) -> Self {
        let mut literals = name.split('*').map(str::to_owned);
        let first = literals.next().unwrap_or_default();
        match literals.next_back() {
            None => Self::Exact(first),
            Some(last) => Self::Wildcard {
                first,
                middle: literals.collect(),
                last,
            },
        }
    }

    fn matches(&self, name: &str) -> bool {
        let (first, middle, last) = match self {
            Self::Exact(exact) => return name == exact,
            Self::Wildcard {
                first,
                middle,
                last,
            } => (first, middle, last),
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        for literal in middle {
            let Some((_, behind)) = rest.split_once(literal.as_str()) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last.as_str())
    }
}

impl FromStr for TablePattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |problem| ParsePatternError {
            text: text.to_owned(),
            problem,
        };
        let names = split(text).map_err(refused)?;
        match <[NamePattern; 2]>::try_from(names) {
            Ok([schema, table]) => Ok(Self {
                text: text.to_owned(),
                schema,
                table,
            }),
            Err(names) if names.len() == 1 => Err(refused("names no schema")),
            Err(_) => Err(refused("has more parts than schema and table")),
        }
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits at the dots outside of quotes.
fn split(text: &str) -> Result<Vec<NamePattern>, &'static str> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_name(quoted)?
        } else {
            plain_name(rest)?
        };
        names.push(name);
        if behind.is_empty() {
            return Ok(names);
        }
        rest = behind
            .strip_prefix('.')
            .ok_or("has characters behind a closing quote")?;
    }
}

/// Reads a name up to the closing quote; a doubled quote stands for one.
fn quoted_name(text: &str) -> Result<(NamePattern, &str), &'static str> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest
            .split_once('"')
            .ok_or("has a quote that is never closed")?;
        name.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None if name.is_empty() => return Err("has an empty name"),
            None => return Ok((NamePattern::Exact(name), behind)),
        }
    }
}

fn plain_name(text: &str) -> Result<(NamePattern, &str), &'static str> {
    let end = text.find('.').unwrap_or(text.len());
    let (name, behind) = text.split_at(end);
    if name.is_empty() {
        return Err("has an empty name");
    }
    if name.contains('"') {
        return Err("has a quote inside of a name");
    }
    if name
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || ",/()[]{}\\'".contains(c))
    {
        return Err("has a character that a name holds only in quotes");
    }
    Ok((NamePattern::unquoted(name), behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TablePattern {
        text.parse().expect(text)
    }

    #[test]
    fn a_name_stands_for_itself_and_is_not_folded() {
        assert!(pattern("public.orders").matches("public", "orders"));
        assert!(!pattern("public.Orders").matches("public", "orders"));
        assert!(pattern("public.Orders").matches("public", "Orders"));
        assert!(!pattern("public.orders").matches("public", "orders_2"));
        assert!(pattern("Großhandel.Käufer").matches("Großhandel", "Käufer"));
    }

    #[test]
    fn a_star_stands_for_any_run() {
        assert!(pattern("sales.*").matches("sales", "x"));
        assert!(!pattern("sales.*").matches("sale", "x"));
        assert!(pattern("*.audit").matches("any", "audit"));
        assert!(pattern("*.*").matches("any", "thing"));
        assert!(pattern("p.a*c*e").matches("p", "abcde"));
        assert!(pattern("p.a*c*e").matches("p", "ace"));
        assert!(pattern("p.a**e").matches("p", "abcde"));
        assert!(!pattern("p.a*c*e").matches("p", "aec"));
        assert!(!pattern("p.ab*bc").matches("p", "abc"));
        assert!(pattern("*.log_*_old").matches("any", "log_1_old"));
    }

    #[test]
    fn quotes_take_everything_as_it_is() {
        let odd = pattern(r#""My.Schema"."a*b""c""#);
        assert!(odd.matches("My.Schema", "a*b\"c"));
        assert!(!odd.matches("My.Schema", "axb\"c"));
        assert_eq!(pattern(&odd.to_string()), odd);
    }

    #[test]
    fn one_table_has_no_star_outside_of_quotes() {
        let one = |text| pattern(text).one_table().map(|(s, t)| format!("{s} {t}"));
        assert_eq!(one("public.orders").as_deref(), Some("public orders"));
        assert_eq!(one(r#""a.b"."c*""#).as_deref(), Some("a.b c*"));
        assert_eq!(one("public.*"), None);
        assert_eq!(one("*.orders"), None);
        assert_eq!(one("public.log_*"), None);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("", "empty name"),
            (".", "empty name"),
            ("orders", "no schema"),
            ("*", "no schema"),
            ("public.", "empty name"),
            (".orders", "empty name"),
            ("a..b", "empty name"),
            ("\"\".b", "empty name"),
            ("a.b.c", "more parts"),
            ("public.orders ", "only in quotes"),
            ("public.a,b", "only in quotes"),
            ("public.[a-z]+", "only in quotes"),
            ("public.(a|b)", "only in quotes"),
            ("public/orders", "only in quotes"),
            ("\"a.b", "never closed"),
            ("\"a\"b.c", "behind a closing quote"),
            ("a\"b.c", "quote inside"),
        ] {
            let error = text.parse::<TablePattern>().expect_err(text);
            assert!(error.problem().contains(problem), "{error}");
        }
    }
}
