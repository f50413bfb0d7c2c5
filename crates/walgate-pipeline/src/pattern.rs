//! Patterns of table names: `public.orders`, `sales.*`, `*.audit_*`, `"My Schema"."T.1"`.

use std::fmt;
use std::str::FromStr;

/// A pattern of qualified table names.
///
/// A name stands for itself, exactly as PostgreSQL holds it: nothing is folded to lower case.
/// Outside of quotes `*` stands for any run of characters; inside of double quotes everything
/// stands for itself, and `""` is one quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePattern {
    schema: Part,
    table: Part,
}

/// One side of the dot: literals, with any run of characters between them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part(Vec<String>);

/// Text that is not a pattern of table names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a table pattern: {problem}")]
pub struct ParsePatternError {
    text: String,
    problem: &'static str,
}

impl TablePattern {
    /// Whether a table is meant.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        self.schema.matches(schema) && self.table.matches(table)
    }

    /// Whether it means one table at most.
    pub fn is_exact(&self) -> bool {
        self.schema.0.len() == 1 && self.table.0.len() == 1
    }
}

impl Part {
    fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return name == first;
        };
        let Some(mut name) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        for literal in middle {
            let Some(at) = name.find(literal.as_str()) else {
                return false;
            };
            name = name.get(at + literal.len()..).unwrap_or_default();
        }
        name.ends_with(last.as_str())
    }
}

impl FromStr for TablePattern {
    type Err = ParsePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |problem| ParsePatternError {
            text: text.to_owned(),
            problem,
        };
        let mut parts = vec![Part(vec![String::new()])];
        let mut quoted = false;
        let mut chars = text.trim().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    push(&mut parts, '"');
                }
                '"' => quoted = !quoted,
                '.' if !quoted => parts.push(Part(vec![String::new()])),
                '*' if !quoted => {
                    if let Some(part) = parts.last_mut() {
                        part.0.push(String::new());
                    }
                }
                c => push(&mut parts, c),
            }
        }
        if quoted {
            return Err(refused("a quote is not closed"));
        }
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(schema), Some(table), None) => {
                let empty = |part: &Part| part.0.len() == 1 && part.0.iter().all(String::is_empty);
                if empty(&schema) || empty(&table) {
                    return Err(refused("a side of the dot is empty"));
                }
                Ok(Self { schema, table })
            }
            (_, None, _) => Err(refused(
                "it has no schema (write public.orders, or *.orders for every schema)",
            )),
            _ => Err(refused(
                "it has more than one dot (put a name that has a dot into double quotes)",
            )),
        }
    }
}

fn push(parts: &mut [Part], c: char) {
    if let Some(literal) = parts.last_mut().and_then(|part| part.0.last_mut()) {
        literal.push(c);
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, literal) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("*")?;
            }
            if literal.contains(['.', '"', '*', ' ']) {
                write!(f, "\"{}\"", literal.replace('"', "\"\""))?;
            } else {
                f.write_str(literal)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
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
        assert!(pattern("public.orders").is_exact());
    }

    #[test]
    fn a_star_stands_for_any_run() {
        assert!(pattern("sales.*").matches("sales", "x"));
        assert!(!pattern("sales.*").matches("sale", "x"));
        assert!(pattern("*.audit").matches("any", "audit"));
        assert!(pattern("*.*").matches("any", "thing"));
        assert!(pattern("p.a*c*e").matches("p", "abcde"));
        assert!(pattern("p.a*c*e").matches("p", "ace"));
        assert!(!pattern("p.a*c*e").matches("p", "aec"));
        assert!(!pattern("p.ab*bc").matches("p", "abc"));
        assert!(!pattern("sales.*").is_exact());
    }

    #[test]
    fn quotes_take_everything_as_it_is() {
        let odd = pattern(r#""My.Schema"."a*b""c""#);
        assert!(odd.matches("My.Schema", "a*b\"c"));
        assert!(!odd.matches("My.Schema", "axb\"c"));
        assert!(odd.is_exact());
        assert_eq!(pattern(&odd.to_string()), odd);
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("orders", "no schema"),
            ("", "no schema"),
            (".orders", "empty"),
            ("public.", "empty"),
            ("a.b.c", "more than one dot"),
            ("\"a.b", "not closed"),
        ] {
            let error = text.parse::<TablePattern>().expect_err(text).to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
