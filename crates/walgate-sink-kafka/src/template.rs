//! Topic names: the template, and the characters that a topic can't have.

use std::fmt;

/// Longest name of a topic in bytes: `org.apache.kafka.common.internals.Topic.MAX_NAME_LENGTH`.
const MAX_TOPIC_BYTES: usize = 249;

/// How a topic's name is made of a table's: literal text, `{database}`, `{schema}`, `{table}`.
///
/// Bytes other than `[A-Za-z0-9._-]` become `_xHH`, in names and in literal text alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Database,
    Schema,
    Table,
}

/// A template or a name that no topic can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNameError {
    message: String,
    hint: &'static str,
}

impl TopicNameError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        self.hint
    }
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TopicNameError {}

impl Default for TopicTemplate {
    /// `{schema}.{table}`.
    fn default() -> Self {
        let parts = vec![Part::Schema, Part::Text(".".to_owned()), Part::Table];
        Self {
            text: "{schema}.{table}".to_owned(),
            parts,
        }
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for TopicTemplate {
    type Err = TopicNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str = "placeholders are {database}, {schema} and {table}";
        let refused = |message: String| TopicNameError {
            message,
            hint: HINT,
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(open);
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            let closed = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
            let Some((name, tail)) = closed else {
                return Err(refused(format!(
                    "topic template {text:?} has a brace without its other"
                )));
            };
            parts.push(match name {
                "database" => Part::Database,
                "schema" => Part::Schema,
                "table" => Part::Table,
                _ => {
                    return Err(refused(format!(
                        "topic template {text:?} has the unknown placeholder {{{name}}}"
                    )));
                }
            });
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() {
            return Err(refused("topic template is empty".to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

impl TopicTemplate {
    /// The topic of a table.
    ///
    /// # Errors
    ///
    /// When the name is `.`, `..` or longer than 249 bytes: Kafka has no such topic.
    pub fn topic(
        &self,
        database: &str,
        schema: &str,
        table: &str,
    ) -> Result<String, TopicNameError> {
        let mut name = String::new();
        for part in &self.parts {
            escape_into(
                &mut name,
                match part {
                    Part::Text(text) => text,
                    Part::Database => database,
                    Part::Schema => schema,
                    Part::Table => table,
                },
            );
        }
        check_topic_name(&name)?;
        Ok(name)
    }

    /// Whether two tables are meant to share a topic: the template doesn't name the table, and what
    /// it names of them is the same.
    pub(crate) fn shares(&self, one: (&str, &str), other: (&str, &str)) -> bool {
        let names = |part: &Part| self.parts.contains(part);
        !names(&Part::Table) && (!names(&Part::Schema) || one.0 == other.0)
    }
}

/// Appends a name with all bytes that a topic can't have as `_xHH`.
fn escape_into(topic: &mut String, name: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => {
                topic.push(char::from(byte));
            }
            _ => {
                topic.push_str("_x");
                topic.push(char::from(DIGITS[usize::from(byte >> 4)]));
                topic.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// Refuses what Kafka refuses: `Topic.validate` of the Java client.
pub(crate) fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    const SHORTER: &str = "choose another template or name the table's topic in its own section";
    let refused = |message: String| {
        Err(TopicNameError {
            message,
            hint: SHORTER,
        })
    };
    if name.is_empty() {
        return refused("a topic's name can't be empty".to_owned());
    }
    if name == "." || name == ".." {
        return refused(format!("a topic can't be named {name:?}"));
    }
    if name.len() > MAX_TOPIC_BYTES {
        let len = name.len();
        return refused(format!(
            "topic {name:?} has {len} bytes, Kafka takes {MAX_TOPIC_BYTES}"
        ));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !name.bytes().all(legal) {
        return refused(format!(
            "topic {name:?} has characters other than [A-Za-z0-9._-]"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(template: &str, schema: &str, table: &str) -> String {
        let template: TopicTemplate = template.parse().expect("template");
        template.topic("shop", schema, table).expect("name")
    }

    #[test]
    fn renders_the_placeholders() {
        assert_eq!(
            TopicTemplate::default(),
            "{schema}.{table}".parse().expect("default")
        );
        assert_eq!(
            topic("{schema}.{table}", "public", "orders"),
            "public.orders"
        );
        assert_eq!(
            topic("cdc-{database}-{schema}_{table}.v1", "s", "t"),
            "cdc-shop-s_t.v1"
        );
        assert_eq!(topic("all", "s", "t"), "all");
    }

    #[test]
    fn escapes_other_bytes() {
        assert_eq!(topic("{table}", "s", "Order Lines"), "Order_x20Lines");
        assert_eq!(topic("{table}", "s", "é/ü"), "_xc3_xa9_x2f_xc3_xbc");
        assert_eq!(topic("a b {table}", "s", "{x}"), "a_x20b_x20_x7bx_x7d");
    }

    #[test]
    fn refuses_unknown_placeholders_and_stray_braces() {
        for text in [
            "",
            "{tabel}",
            "{}",
            "{Schema}",
            "{schema",
            "schema}",
            "{{table}}",
            "}{",
        ] {
            assert!(text.parse::<TopicTemplate>().is_err(), "{text}");
        }
        let error = "{tabel}".parse::<TopicTemplate>().expect_err("unknown");
        assert!(error.to_string().contains("{tabel}"), "{error}");
    }

    #[test]
    fn refuses_names_that_kafka_refuses() {
        let template: TopicTemplate = "{table}".parse().expect("template");
        for table in [".", "..", "", &"x".repeat(250), &"ä".repeat(63)] {
            assert!(template.topic("d", "s", table).is_err(), "{table}");
        }
        assert!(template.topic("d", "s", &"x".repeat(249)).is_ok());
        assert!(check_topic_name("a b").is_err());
        assert!(check_topic_name("a-b_c.D9").is_ok());
    }

    #[test]
    fn tables_share_only_when_the_template_says_so() {
        let shares = |text: &str, one, other| {
            text.parse::<TopicTemplate>()
                .expect("template")
                .shares(one, other)
        };
        assert!(shares("all", ("a", "x"), ("b", "y")));
        assert!(shares("{schema}", ("a", "x"), ("a", "y")));
        assert!(!shares("{schema}", ("a b", "x"), ("a_x20b", "y")));
        assert!(!shares("{table}", ("a", "x"), ("b", "x")));
        assert!(!shares("{schema}.{table}", ("a.b", "c"), ("a", "b.c")));
    }
}
