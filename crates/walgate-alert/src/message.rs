//! What is told.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
    /// It hurts already, or will within minutes.
    Emergency,
}

impl Severity {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Emergency => "emergency",
        }
    }
}

/// One message about one alert. What a webhook gets is exactly this, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// The version of this form: 1.
    pub v: u32,
    /// `raised`, `escalated`, `eased`, `repeated`, `resolved`, or `test`.
    pub kind: String,
    /// Names the alert from its begin to its end, among all of one database.
    pub key: String,
    /// The rule: the name of its runbook.
    pub rule: String,
    /// The slot or the sink that it is about.
    pub subject: String,
    /// How bad it is; when it is over, how bad it was.
    pub severity: Severity,
    /// One sentence.
    pub summary: String,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// When this was said, in seconds since 1970.
    pub at: u64,
    /// Whose message it is: slot and database.
    pub source: String,
    /// What is known, by name.
    pub facts: BTreeMap<String, Value>,
    /// When room runs out, in words.
    pub forecast: Option<String>,
    /// Why log is held back, in one sentence.
    pub culprit: Option<String>,
    /// The one command, or what else to do.
    pub command: Option<String>,
}

impl Message {
    /// It says that an alert is over.
    pub fn is_over(&self) -> bool {
        self.kind == "resolved"
    }

    /// One line for people: `critical: slot walgate holds back 12 GiB of log`.
    pub fn headline(&self) -> String {
        let word = match self.kind.as_str() {
            "resolved" => "resolved",
            "test" => "test",
            _ => self.severity.name(),
        };
        format!("{word}: {}", self.summary)
    }
}

/// At most so many bytes of a text, at the border of a character, without what would break a line or
/// end a text.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    kept.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

#[cfg(test)]
pub(crate) fn example(kind: &str, key: &str) -> Message {
    Message {
        v: 1,
        kind: kind.to_owned(),
        key: key.to_owned(),
        rule: "headroom".to_owned(),
        subject: "walgate".to_owned(),
        severity: Severity::Critical,
        summary: "slot walgate has 9 % left until <the budget>".to_owned(),
        since: 100,
        at: 200,
        source: "walgate of shop".to_owned(),
        facts: BTreeMap::from([("retained_bytes".to_owned(), Value::from(12))]),
        forecast: Some("1h left".to_owned()),
        culprit: Some("walgate holds back 9 GiB: sink kafka is down".to_owned()),
        command: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_has_no_control_characters() {
        assert_eq!(cut("aüb", 2), "a");
        assert_eq!(cut("aüb", 3), "aü");
        assert_eq!(cut("a\0b\nc", 100), "a b c");
    }

    #[test]
    fn a_webhook_gets_all_of_it() {
        let value = serde_json::to_value(example("raised", "k")).expect("json");
        assert_eq!(value["severity"], "critical");
        assert_eq!(value["facts"]["retained_bytes"], 12);
        assert_eq!(value["command"], Value::Null);
        assert_eq!(value["v"], 1);
    }
}
