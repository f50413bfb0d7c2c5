//! A record of Kafka as a line for people.

use serde_json::{Map, Value};

/// Characters that are shown of a value: as in the form for people.
const MAX_VALUE: usize = 40;

/// Time of day, operation, where it lies in Kafka, key, columns.
pub(super) fn readable(
    (topic, partition, offset): (&str, i32, i64),
    event: &Value,
    colour: bool,
) -> String {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("time").split_once('T').map_or("", |(_, clock)| clock);
    let time = time.get(..12).unwrap_or(time);
    let op = text("op");
    let (start, end) = match (colour, op) {
        (false, _) => ("", ""),
        (true, "insert") => ("\x1b[32m", "\x1b[0m"),
        (true, "update") => ("\x1b[33m", "\x1b[0m"),
        (true, _) => ("\x1b[31m", "\x1b[0m"),
    };
    let place = format!("{topic}/{partition}@{offset}");
    let mut line = format!("{time}  {start}{op:<8}{end}  {place:<26}");
    let key = event.get("key").and_then(Value::as_object);
    let columns = event.get("after").and_then(Value::as_object);
    for (name, value) in key.into_iter().flatten() {
        line.push_str(&format!("  {name}={}", shown(value)));
    }
    let is_key = |name: &String| key.is_some_and(|key: &Map<_, _>| key.contains_key(name));
    for (name, value) in columns.into_iter().flatten() {
        if !is_key(name) {
            line.push_str(&format!("  {name}={}", shown(value)));
        }
    }
    line
}

/// A value, cut short; nothing in it can act on the terminal.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let visible = |c: char| if c.is_control() { '·' } else { c };
    let mut short: String = text.chars().take(MAX_VALUE).map(visible).collect();
    if text.chars().nth(MAX_VALUE).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_where_and_what() {
        let event = json!({
            "op": "insert", "key": {"id": 7}, "after": {"id": 7, "name": "a\u{1b}b", "gone": null},
            "time": "2026-11-21T09:30:00.123456Z"
        });
        let line = readable(("maze.a", 2, 15), &event, false);
        assert_eq!(
            line,
            "09:30:00.123  insert    maze.a/2@15                 id=7  name=a·b  gone=null"
        );
        assert!(readable(("t", 0, 0), &event, true).contains("\x1b[32minsert  \x1b[0m"));
    }

    #[test]
    fn a_long_value_is_cut_and_an_odd_event_is_no_panic() {
        assert_eq!(shown(&json!("x".repeat(50))).chars().count(), MAX_VALUE + 1);
        assert!(readable(("t", 0, 0), &json!([1]), false).contains("t/0@0"));
    }
}
