//! What a string in the configuration may say: the kinds of text that are checked where they stand.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{Period, PolicyStep, Size, SlotName, TablePattern, TopicName, TopicTemplate};

/// The key of the schema that names a [`TextKind`].
pub(super) const KIND: &str = "x-kind";

/// A kind of text with a syntax of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextKind {
    Period,
    Size,
    SlotName,
    TablePattern,
    TopicTemplate,
    TopicName,
    PolicyStep,
}

impl TextKind {
    const ALL: [Self; 7] = [
        Self::Period,
        Self::Size,
        Self::SlotName,
        Self::TablePattern,
        Self::TopicTemplate,
        Self::TopicName,
        Self::PolicyStep,
    ];

    /// The name in the schema.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Period => "duration",
            Self::Size => "size",
            Self::SlotName => "slot-name",
            Self::TablePattern => "table-pattern",
            Self::TopicTemplate => "topic-template",
            Self::TopicName => "topic-name",
            Self::PolicyStep => "policy-step",
        }
    }

    pub(super) fn of(schema: &Value) -> Option<Self> {
        let name = schema.get(KIND)?.as_str()?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Reads `text` as this kind.
    pub(super) fn check(self, text: &str) -> Result<(), Refused> {
        match self {
            Self::Period => text.parse::<Period>().map(drop),
            Self::Size => text.parse::<Size>().map(drop),
            Self::SlotName => text.parse::<SlotName>().map(drop),
            Self::TablePattern => text.parse::<TablePattern>().map(drop),
            Self::TopicTemplate => text.parse::<TopicTemplate>().map(drop),
            Self::TopicName => text.parse::<TopicName>().map(drop),
            Self::PolicyStep => text.parse::<PolicyStep>().map(drop),
        }
    }

    /// Compares two texts of this kind, for `x-min` and `x-max`; `None` for a kind without order.
    pub(super) fn compare(self, left: &str, right: &str) -> Option<std::cmp::Ordering> {
        match self {
            Self::Period => Some(left.parse::<Period>().ok()?.cmp(&right.parse().ok()?)),
            Self::Size => Some(left.parse::<Size>().ok()?.cmp(&right.parse().ok()?)),
            Self::SlotName
            | Self::TablePattern
            | Self::TopicTemplate
            | Self::TopicName
            | Self::PolicyStep => None,
        }
    }

    /// The schema of this kind.
    pub(super) fn schema(self, pattern: Option<&str>) -> schemars::Schema {
        let mut schema = schemars::json_schema!({ "type": "string" });
        schema.insert(KIND.to_owned(), json!(self.name()));
        if let Some(pattern) = pattern {
            schema.insert("pattern".to_owned(), json!(pattern));
        }
        schema
    }
}

/// Why a text is refused: what is wrong with it, without the text itself, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// What is wrong: lowercase, no period.
    pub problem: String,
    /// What is allowed, or what to write instead.
    pub hint: Option<String>,
}

impl Refused {
    pub(super) fn new(problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            hint: Some(hint.into()),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

/// Deserializes a text through its [`FromStr`].
pub(super) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err = Refused>,
{
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// Gives a type that is written as text its place in files and in the schema.
macro_rules! text_value {
    ($type:ty, $kind:expr, $pattern:expr) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::text::from_text(deserializer)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $kind.schema($pattern)
            }
        }
    };
}

pub(super) use text_value;
