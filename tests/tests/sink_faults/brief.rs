//! Events in short.

use serde_json::Value;

/// `op`, table and the new row of each event, as one text each: `insert t {"id":1}`; the key for a
/// delete.
pub(crate) fn brief(events: &[Value]) -> Vec<String> {
    let brief = |event: &Value| {
        let row = if event["after"].is_null() {
            &event["key"]
        } else {
            &event["after"]
        };
        let table = event["table"].as_str().unwrap_or_default();
        format!("{} {table} {row}", event["op"].as_str().unwrap_or_default())
    };
    events.iter().map(brief).collect()
}
