//! The document, for people.

use std::time::Duration;

use serde_json::Value;
use walgate_slot::words;

use crate::journal_command::table;
use crate::slots::table::clean;

/// Some lines of what matters, and a table of the sinks.
pub(super) fn render(status: &Value) -> String {
    let mut text = String::new();
    let healthy = if status["healthy"] == true {
        "healthy"
    } else {
        "NOT HEALTHY"
    };
    let mut line = |name: &str, said: String| {
        text.push_str(&format!("{name:<10} {}\n", clean(&said)));
    };
    let version = word(&status["version"]);
    line(
        "walgate",
        format!(
            "{version}, {healthy}, since {}",
            word(&status["started_at"])
        ),
    );
    for trouble in list(&status["troubles"]) {
        line("", word(trouble));
    }
    let gateway = &status["gateway"];
    if gateway.is_null() {
        line("source", source(&status["source"]));
    } else {
        line("gateway", reads(gateway));
        line("window", window(&gateway["window"]));
    }
    line("journal", journal(&status["journal"]));
    let slots = list(&status["slots"]);
    let ours = slots.iter().find(|slot| slot["ours"] == true);
    match ours {
        Some(slot) => {
            line("slot", describe(slot));
            for (name, key) in [("why", "why"), ("fix", "fix")] {
                if let Some(said) = slot[key].as_str() {
                    line(name, said.to_owned());
                }
            }
        }
        // There is none behind a topic.
        None if !gateway.is_null() => {}
        None => line("slot", unseen(&status["slot"])),
    }
    if let Some(error) = status["watch"]["error"].as_str() {
        line("watch", format!("sees nothing: {error}"));
    }
    let others = slots.iter().filter(|slot| slot["ours"] != true);
    let held: Vec<_> = others.filter(|slot| slot["culprit"] != "-").collect();
    if !held.is_empty() {
        let said = format!("{} of others hold back log: walgate slots", held.len());
        line("slots", said);
    }
    let guard = &status["guard"];
    if let Some(level) = guard["level"].as_str() {
        line("guard", level.to_owned());
    }
    for alert in list(&guard["alerts"]) {
        let (severity, rule) = (word(&alert["severity"]), word(&alert["rule"]));
        line(
            "alert",
            format!("{severity} {rule}: {}", word(&alert["summary"])),
        );
    }
    text.push('\n');
    text.push_str(&sinks(list(&status["sinks"])));
    text
}

/// Of a slot that is not among those that were seen.
fn unseen(slot: &Value) -> String {
    let seen = match &slot["exists"] {
        Value::Bool(false) => "the server has none of this name",
        _ => "not seen yet",
    };
    format!("{}: {seen}", word(&slot["name"]))
}

fn source(source: &Value) -> String {
    let mut said = word(&source["state"]);
    if let Some(time) = time(&source["state_seconds"]) {
        said.push_str(&format!(" for {time}"));
    }
    if let Some(error) = source["error"].as_str() {
        said.push_str(&format!(": {error}"));
    }
    if let Some(pid) = source["holder_pid"].as_i64() {
        said.push_str(&format!(", pid {pid} uses the slot"));
    }
    let (received, confirmed) = (&source["received_lsn"], &source["confirmed_lsn"]);
    said + &format!(
        "; received {}, confirmed {}",
        word(received),
        word(confirmed)
    ) + &heartbeat(&source["heartbeat"])
}

/// What a gateway reads, and how far it is.
fn reads(gateway: &Value) -> String {
    let mut said = format!(
        "topic {}: {}",
        word(&gateway["topic"]),
        word(&gateway["state"])
    );
    if let Some(why) = gateway["waits_for"].as_str() {
        said.push_str(&format!(", {why}"));
    }
    if let Some(error) = gateway["error"].as_str() {
        said.push_str(&format!(", kafka can't be reached: {error}"));
    }
    if let Some(position) = gateway["position"].as_str() {
        said.push_str(&format!("; at {position}"));
    }
    if let Some(behind) = gateway["behind_records"].as_u64() {
        said.push_str(&format!(", {behind} records behind the end"));
    }
    if let Some(ago) = time(&gateway["last_commit_seconds"]) {
        said.push_str(&format!(", last commit {ago} ago"));
    }
    said
}

/// What clients can resume from.
fn window(window: &Value) -> String {
    if window.is_null() {
        return "not begun yet".to_owned();
    }
    let mut said = format!("from {} on", word(&window["oldest"]));
    if let Some(ago) = time(&window["begun_seconds"]) {
        said.push_str(&format!(", begun {ago} ago"));
    }
    said
}

/// Nothing where none is configured.
fn heartbeat(heartbeat: &Value) -> String {
    let (took, due) = (&heartbeat["latency_seconds"], &heartbeat["due_seconds"]);
    match (time(due), time(took)) {
        (Some(due), _) => format!("; heartbeat due for {due}"),
        (None, Some(took)) => format!("; heartbeat in {took}"),
        (None, None) => String::new(),
    }
}

fn journal(journal: &Value) -> String {
    if journal.is_null() {
        return "not begun yet".to_owned();
    }
    let place = match journal["kind"].as_str() {
        Some("disk") => "on disk",
        _ => "in memory",
    };
    let (held, budget) = (size(&journal["bytes"]), size(&journal["budget_bytes"]));
    let mut said = format!("{held} of {budget} {place}");
    if journal["spool_bytes"]
        .as_u64()
        .is_some_and(|bytes| bytes > 0)
    {
        let spools = size(&journal["spool_bytes"]);
        said.push_str(&format!(", {spools} of transactions that run"));
    }
    if journal["full"] == true {
        let held = list(&journal["held_by"]).iter().map(word);
        let held: Vec<_> = held.collect();
        said.push_str(", FULL");
        if !held.is_empty() {
            said.push_str(&format!(": held by {}", held.join(", ")));
        }
    }
    said
}

fn describe(slot: &Value) -> String {
    let mut said = format!("{}: {}", word(&slot["slot"]), word(&slot["state"]));
    if !slot["retained_bytes"].is_null() {
        said.push_str(&format!(", holds back {}", size(&slot["retained_bytes"])));
    }
    if let Some(lag) = time(&slot["lag_seconds"]) {
        let more = if slot["lag_is_more"] == true {
            "more than "
        } else {
            ""
        };
        said.push_str(&format!(", {more}{lag} behind"));
    }
    let limit = slot["headroom_limit"].as_str();
    match (limit, &slot["headroom_bytes"]) {
        (Some(limit), left) if !left.is_null() => {
            said.push_str(&format!(", {} left of {limit}", size(left)));
        }
        _ => said.push_str(", no limit"),
    }
    if let Some(left) = time(&slot["seconds_to_limit"]) {
        said.push_str(&format!(", full in {left}"));
    }
    if let Some(left) = time(&slot["seconds_to_limit_if_stopped"]) {
        said.push_str(&format!(", in {left} if stopped"));
    }
    said + &format!("; danger: {}", word(&slot["danger"]))
}

fn sinks(sinks: &[Value]) -> String {
    let heading = [
        "SINK",
        "STATE",
        "EVENTS",
        "BACKLOG",
        "BEHIND",
        "FAILURES",
        "LAST ERROR",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for sink in sinks {
        let optional = if sink["required"] == true {
            ""
        } else {
            " (optional)"
        };
        rows.push(vec![
            clean(&format!("{}{optional}", word(&sink["sink"]))),
            word(&sink["state"]),
            word(&sink["events"]),
            size(&sink["backlog_bytes"]),
            time(&sink["oldest_undelivered_seconds"]).unwrap_or_else(|| "-".to_owned()),
            word(&sink["failures"]),
            clean(sink["last_error"].as_str().unwrap_or("-")),
        ]);
    }
    table(&rows, &[2, 3, 4, 5])
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn size(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), words::bytes)
}

fn time(value: &Value) -> Option<String> {
    let seconds = value.as_f64()?.max(0.0);
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(words::duration)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_of_nothing_is_shown_without_harm() {
        for nothing in [
            json!(null),
            json!({}),
            json!({"slots": [{}], "sinks": [{}]}),
        ] {
            assert!(render(&nothing).contains("NOT HEALTHY"), "{nothing}");
        }
    }

    #[test]
    fn a_gateway_says_what_it_reads_and_nothing_of_a_slot() {
        let mut status = json!({
            "healthy": true, "slot": {"name": "walgate"}, "source": {"state": "streaming"},
            "gateway": {"topic": "t", "state": "live", "position": "00-01", "behind_records": 2,
                "last_commit_seconds": 3.0, "window": {"oldest": "00-00", "begun_seconds": 120.0}},
        });
        let said = render(&status);
        for part in [
            "gateway    topic t: live; at 00-01, 2 records behind the end, last commit 3s ago",
            "window     from 00-00 on, begun 2m 00s ago",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        for part in ["slot ", "source", "confirmed"] {
            assert!(!said.contains(part), "{part}: {said}");
        }
        status["gateway"] = json!({"topic": "t", "state": "beginning", "waits_for": "something"});
        let said = render(&status);
        assert!(said.contains("topic t: beginning, something"), "{said}");
        assert!(said.contains("window     not begun yet"), "{said}");
    }

    #[test]
    fn what_matters_is_there_and_names_of_others_do_no_harm() {
        let status = json!({
            "version": "1", "healthy": false, "started_at": "2026", "troubles": ["sink a fails: \u{1b}[2J"],
            "source": {"state": "streaming", "state_seconds": 65.0, "received_lsn": "0/2", "confirmed_lsn": "0/1"},
            "journal": {"kind": "disk", "bytes": 1024, "budget_bytes": 2048, "full": true, "held_by": ["a"]},
            "slot": {"name": "s", "exists": true},
            "slots": [{"slot": "s", "ours": true, "state": "active", "retained_bytes": 5, "lag_seconds": 3.0,
                "headroom_limit": "budget", "headroom_bytes": 4096, "seconds_to_limit": 60.0,
                "danger": "near", "why": "because", "fix": "do"}],
            "guard": {"level": "critical", "alerts": [{"rule": "lag", "severity": "critical", "summary": "late"}]},
            "sinks": [{"sink": "a", "required": true, "state": "retrying", "events": 7, "backlog_bytes": 2048,
                "oldest_undelivered_seconds": 61.0, "failures": 2, "last_error": "no broker"}],
        });
        let text = render(&status);
        for part in [
            "NOT HEALTHY",
            "sink a fails: \u{fffd}[2J",
            "streaming for 1m 05s; received 0/2, confirmed 0/1",
            "1.00 KiB of 2.00 KiB on disk, FULL: held by a",
            "s: active, holds back 5 B, 3s behind, 4.00 KiB left of budget, full in 1m 00s; danger: near",
            "why        because",
            "alert      critical lag: late",
            "no broker",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    }
}
