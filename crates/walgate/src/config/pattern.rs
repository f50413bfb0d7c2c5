//! Patterns for tables.

use std::fmt;
use std::str::FromStr;

use super::text::{Refused, TextKind, text_value};

/// One part of a pattern: a name, in which an unquoted `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern {
    /// The name; quotes are taken off.
    pub name: String,
    /// Whether `*` in the name stands for any characters; false for a quoted name.
    pub wildcard: bool,
}

/// Tables: `schema.table`, with `*` for any characters (`public.*`, `*.orders`, `public.log_*`).
///
/// Names are compared as PostgreSQL stores them, nothing is folded. A name that holds a dot or a
/// star is quoted as in SQL: `"odd.schema"."a ""table"""`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TablePattern {
    text: String,
    /// The schema.
    pub schema: NamePattern,
    /// The table.
    pub table: NamePattern,
}

impl TablePattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Schema and table, when it names one table and has no wildcard.
    pub fn one_table(&self) -> Option<(&str, &str)> {
        let wildcard = self.schema.wildcard || self.table.wildcard;
        (!wildcard).then_some((self.schema.name.as_str(), self.table.name.as_str()))
    }
}

impl FromStr for TablePattern {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write schema.table, such as \"public.orders\" or \"public.*\"; \
                               a name with a dot, a star or a quote stands in double quotes";
        let parts = split(text).map_err(|problem| Refused::new(problem, ALLOWED))?;
        match <[NamePattern; 2]>::try_from(parts) {
            Ok([schema, table]) => Ok(Self {
                text: text.to_owned(),
                schema,
                table,
            }),
            Err(parts) if parts.len() == 1 => Err(Refused::new("names no schema", ALLOWED)),
            Err(_) => Err(Refused::new(
                "has more parts than schema and table",
                ALLOWED,
            )),
        }
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_value!(TablePattern, TextKind::TablePattern, None);

/// Splits at the dots outside of quotes.
fn split(text: &str) -> Result<Vec<NamePattern>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_name(quoted)?
        } else {
            plain_name(rest)?
        };
        parts.push(part);
        if behind.is_empty() {
            return Ok(parts);
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
            None => {
                return Ok((
                    NamePattern {
                        name,
                        wildcard: false,
                    },
                    behind,
                ));
            }
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
    Ok((
        NamePattern {
            name: name.to_owned(),
            wildcard: name.contains('*'),
        },
        behind,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_stars_and_quotes() {
        for (pattern, schema, table, one) in [
            ("public.orders", "public", "orders", true),
            ("public.*", "public", "*", false),
            ("*.log_*_old", "*", "log_*_old", false),
            ("\"odd.schema\".\"a\"\"b*\"", "odd.schema", "a\"b*", true),
            ("Großhandel.Käufer", "Großhandel", "Käufer", true),
        ] {
            let parsed = pattern.parse::<TablePattern>().expect(pattern);
            assert_eq!(
                (parsed.schema.name.as_str(), parsed.table.name.as_str()),
                (schema, table)
            );
            assert_eq!(parsed.one_table().is_some(), one, "{pattern}");
        }
    }

    #[test]
    fn refuses_what_is_no_pattern() {
        for text in [
            "",
            ".",
            "orders",
            "*",
            "public.",
            ".orders",
            "a.b.c",
            "public.orders ",
            "public.a,b",
            "\"a.b",
            "\"a\"b.c",
            "a\"b.c",
            "\"\".b",
            "public.[a-z]+",
            "public.(a|b)",
            "a..b",
            "public/orders",
        ] {
            assert!(text.parse::<TablePattern>().is_err(), "{text}");
        }
    }
}
