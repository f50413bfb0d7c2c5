//! PagerDuty, Events API v2.
//!
//! <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>

use serde_json::{Value, json};

use crate::Secret;
use crate::message::{Message, Severity, cut};

/// The longest summary that PagerDuty takes.
const MOST_SUMMARY: usize = 1024;

/// The longest key.
const MOST_KEY: usize = 255;

/// What is posted.
pub(crate) fn event(message: &Message, routing_key: &Secret) -> Value {
    let key = dedup_key(&message.key);
    if message.is_over() {
        return json!({
            "routing_key": routing_key.expose(),
            "event_action": "resolve",
            "dedup_key": key,
        });
    }
    json!({
        "routing_key": routing_key.expose(),
        "event_action": "trigger",
        "dedup_key": key,
        "payload": {
            "summary": cut(&message.summary, MOST_SUMMARY),
            "source": message.source,
            "severity": severity(message.severity),
            "component": message.subject,
            "class": message.rule,
            "custom_details": {
                "kind": message.kind,
                "level": message.severity.name(),
                "forecast": message.forecast,
                "culprit": message.culprit,
                "command": message.command,
                "facts": message.facts,
            },
        },
    })
}

/// The key as it is where it fits. Of a longer one the end stays, which says what it is about, behind a
/// number that is made of the whole: two alerts never share a key.
fn dedup_key(key: &str) -> String {
    /// The number in hexadecimal, and what parts it from the rest.
    const HEAD: usize = 17;
    if key.len() <= MOST_KEY {
        return cut(key, MOST_KEY);
    }
    let mut begin = key.len() - (MOST_KEY - HEAD);
    while !key.is_char_boundary(begin) {
        begin += 1;
    }
    let tail = cut(key.get(begin..).unwrap_or_default(), MOST_KEY);
    format!("{:016x}/{tail}", fnv(key.as_bytes()))
}

/// FNV-1a of 64 bits: the same with each release of whatever there is.
fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// PagerDuty's words; `critical` is its worst.
const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Critical => "error",
        Severity::Emergency => "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::example;

    #[test]
    fn an_incident_is_opened_and_closed_by_one_key() {
        let key = Secret::new("routing");
        let trigger = event(&example("raised", "a/b"), &key);
        let resolve = event(&example("resolved", "a/b"), &key);
        assert_eq!(trigger["event_action"], "trigger");
        assert_eq!(resolve["event_action"], "resolve");
        assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
        assert_eq!(trigger["payload"]["severity"], "error");
        let long = event(&example("raised", &"k".repeat(300)), &key);
        assert_eq!(long["dedup_key"].as_str().map(str::len), Some(255));
    }

    #[test]
    fn alerts_of_a_source_with_a_long_name_are_different_incidents() {
        let key = Secret::new("routing");
        let of = |source: &str, rule: &str| {
            let key_of = format!("{source}/{rule}");
            let event = event(&example("raised", &key_of), &key);
            event["dedup_key"].as_str().map(str::to_owned)
        };
        let (one, other) = ("ä".repeat(200), "ä".repeat(201));
        assert_ne!(of(&one, "lag/walgate"), of(&one, "gap/walgate"));
        assert_ne!(of(&one, "lag/walgate"), of(&other, "lag/walgate"));
        assert_eq!(of(&one, "lag/walgate"), of(&one, "lag/walgate"));
        let long = of(&one, "lag/walgate").unwrap_or_default();
        assert!(long.len() <= 255 && long.ends_with("lag/walgate"), "{long}");
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
