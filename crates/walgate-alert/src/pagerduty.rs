//! PagerDuty, Events API v2.
//!
//! <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>

use serde_json::{Value, json};

use crate::message::{Message, Severity, cut};
use crate::secret::Secret;

/// The longest summary that PagerDuty takes.
const MOST_SUMMARY: usize = 1024;

/// The longest key.
const MOST_KEY: usize = 255;

/// What is posted.
pub(crate) fn event(message: &Message, routing_key: &Secret) -> Value {
    let key = cut(&message.key, MOST_KEY);
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
}
