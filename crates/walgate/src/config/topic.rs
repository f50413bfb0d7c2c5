//! Names of Kafka topics, and the template that makes one from a table.

use std::fmt;
use std::str::FromStr;

use super::text::{Refused, TextKind, text_value};

/// Kafka's limit: the topic is part of a folder's name on the broker
/// (`org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH`).
const MAX_BYTES: usize = 249;

const PLACEHOLDERS: [&str; 3] = ["database", "schema", "table"];

/// The name of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicName(String);

/// A topic's name in which `{database}`, `{schema}` and `{table}` are replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicTemplate(String);

impl TopicName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TopicTemplate {
    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_literal(text)?;
        if text.is_empty() || text == "." || text == ".." {
            return Err(Refused::new("is not a topic's name", ALLOWED));
        }
        check_length(text.len())?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for TopicTemplate {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const KNOWN: &str = "the placeholders are {database}, {schema} and {table}";
        if text.is_empty() {
            return Err(Refused::new("is empty", KNOWN));
        }
        let mut length = 0;
        let mut rest = text;
        while let Some((literal, behind)) = rest.split_once('{') {
            check_literal(literal)?;
            let (name, behind) = behind
                .split_once('}')
                .ok_or_else(|| Refused::new("has a { that is never closed", KNOWN))?;
            if !PLACEHOLDERS.contains(&name) {
                let problem = format!("has the unknown placeholder {{{}}}", name.escape_debug());
                return Err(Refused::new(problem, KNOWN));
            }
            // Every name has at least one character.
            length += literal.len() + 1;
            rest = behind;
        }
        check_literal(rest)?;
        check_length(length + rest.len())?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(
    TopicName,
    TextKind::TopicName,
    Some(r"^[A-Za-z0-9._-]{1,249}$")
);
text_value!(TopicTemplate, TextKind::TopicTemplate, None);

const ALLOWED: &str = "a topic's name has 1 to 249 of the characters a-z, A-Z, 0-9, . _ and -";

fn check_literal(text: &str) -> Result<(), Refused> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.chars().find(|c| !allowed(*c)) {
        Some(wrong) => Err(Refused::new(
            format!("contains {wrong:?}, which Kafka refuses in a topic's name"),
            ALLOWED,
        )),
        None => Ok(()),
    }
}

fn check_length(length: usize) -> Result<(), Refused> {
    if length > MAX_BYTES {
        return Err(Refused::new(
            format!("is longer than {MAX_BYTES} characters"),
            ALLOWED,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_templates() {
        for text in [
            "{schema}.{table}",
            "cdc.{database}.{schema}.{table}",
            "everything",
            "{table}-v1",
        ] {
            assert!(text.parse::<TopicTemplate>().is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_template() {
        for (text, problem) in [
            ("", "is empty"),
            ("{tabel}", "unknown placeholder {tabel}"),
            ("{}", "unknown placeholder {}"),
            ("{schema", "never closed"),
            ("schema}", "contains '}'"),
            ("a/{table}", "contains '/'"),
            ("a b", "contains ' '"),
            (&"x".repeat(250), "longer than 249"),
        ] {
            let refused = text.parse::<TopicTemplate>().expect_err(text);
            assert!(refused.problem.contains(problem), "{text}: {refused}");
        }
    }

    #[test]
    fn refuses_what_is_no_topic() {
        for text in ["", ".", "..", "a/b", "{schema}", "tür", &"x".repeat(250)] {
            assert!(text.parse::<TopicName>().is_err(), "{text}");
        }
    }
}
