//! `walgate check --instance`: what troubles a service that runs, in the words of the other checks.

use std::time::Duration;

use serde_json::Value;
use walgate_slot::check::Finding;
use walgate_slot::words::{bytes, duration};

use crate::config::Config;
use crate::control::{Command, ask};
use crate::ending::Ending;

/// Asks the service of a configuration.
///
/// # Errors
///
/// When none runs, or it does not answer.
pub(super) fn ask_instance(config: &Config) -> Result<Value, Ending> {
    let (answer, _) = ask(&config.state.dir, &Command::Status)?;
    let status = answer.status;
    status.ok_or_else(|| Ending::other("the service has answered something else"))
}

/// Explains what it has answered.
pub(super) fn explained(status: &Value) -> Vec<Finding> {
    let mut findings = vec![source(&status["source"])];
    findings.extend(heartbeat(&status["source"]["heartbeat"]));
    for sink in list(&status["sinks"]) {
        findings.push(of_sink(sink));
    }
    let ours = list(&status["slots"]).find(|slot| slot["ours"] == Value::Bool(true));
    findings.extend(ours.map(slot));
    findings.extend(journal(&status["journal"]));
    findings.extend(watch(&status["watch"]));
    for alert in list(&status["guard"]["alerts"]) {
        findings.push(of_alert(alert));
    }
    // What none of these says, in the service's own words.
    let troubles = list(&status["troubles"]).filter_map(Value::as_str);
    let healthy = findings
        .iter()
        .all(|one| one.level == walgate_slot::check::Level::Pass);
    if healthy {
        findings.extend(troubles.map(|trouble| {
            Finding::fail(
                "instance",
                trouble,
                "the service is not healthy",
                "walgate status shows all of it",
            )
        }));
    }
    findings
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, otherwise: &'a str) -> &'a str {
    value.as_str().unwrap_or(otherwise)
}

fn source(source: &Value) -> Finding {
    const CHECK: &str = "source";
    let state = text(&source["state"], "?");
    let seen = match source["error"].as_str() {
        Some(error) => format!("the source is {state}: {error}"),
        None => format!("the source is {state}"),
    };
    match state {
        "streaming" => Finding::pass(CHECK, seen),
        "waiting_for_slot" => {
            let pid = &source["holder_pid"];
            Finding::fail(
                CHECK,
                format!("{seen}; process {pid} has the slot"),
                "nothing is read while another one uses the slot",
                format!("stop its consumer; if it is stuck: SELECT pg_terminate_backend({pid})"),
            )
        }
        "slot_lost" => Finding::fail(
            CHECK,
            seen,
            "the changes behind the slot can't be read any more",
            "the log of the service names the range and the command",
        ),
        _ => Finding::fail(
            CHECK,
            seen,
            "nothing is read, and the slot holds the log back",
            "walgate check -c FILE tells what is wrong with the server and the way to it",
        ),
    }
}

/// None where none is configured.
fn heartbeat(heartbeat: &Value) -> Option<Finding> {
    const CHECK: &str = "heartbeat";
    /// As the guard's first level.
    const LATE_SECONDS: f64 = 60.0;
    let sent = heartbeat["sent"].as_u64()?;
    let seconds = |name: &str| {
        let seconds = heartbeat[name].as_f64()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    if let Some(error) = heartbeat["error"].as_str() {
        return Some(Finding::warn(
            CHECK,
            format!("no heartbeat is written: {error}"),
            "nothing proves the way from a commit to here",
            "walgate check -c FILE tells what grants it",
        ));
    }
    let due = seconds("due_seconds");
    if let Some(due) = due.filter(|due| due.as_secs_f64() >= LATE_SECONDS) {
        return Some(Finding::warn(
            CHECK,
            format!("a heartbeat has been due for {}", duration(due)),
            "what is committed does not arrive",
            "deploy/runbooks/heartbeat_late.md",
        ));
    }
    let took = seconds("latency_seconds");
    let took = took.map_or_else(String::new, |took| {
        format!(", the last took {}", duration(took))
    });
    Some(Finding::pass(
        CHECK,
        format!("{sent} heartbeats were sent{took}"),
    ))
}

fn of_sink(sink: &Value) -> Finding {
    const CHECK: &str = "sink";
    let name = text(&sink["sink"], "?");
    let state = text(&sink["state"], "?");
    let behind = sink["backlog_bytes"].as_u64().filter(|behind| *behind > 0);
    let behind = behind.map_or_else(String::new, |behind| format!(", {} behind", bytes(behind)));
    match sink["last_error"].as_str() {
        None => Finding::pass(CHECK, format!("sink {name} is {state}{behind}")),
        Some(error) => {
            let seen = format!("sink {name} is {state}{behind}: {error}");
            let fix = "the error says what helps; walgate check -c FILE looks at its destination";
            match sink["required"] == Value::Bool(true) {
                true => Finding::fail(CHECK, seen, "a required sink holds the slot back", fix),
                false => Finding::warn(CHECK, seen, "what it lacks waits in the journal", fix),
            }
        }
    }
}

fn slot(slot: &Value) -> Finding {
    const CHECK: &str = "slot";
    let name = text(&slot["slot"], "?");
    let held = bytes(slot["retained_bytes"].as_u64().unwrap_or(0));
    let danger = text(&slot["danger"], "unknown");
    let seen = format!("slot {name} holds back {held}, danger: {danger}");
    let why = text(&slot["why"], "log is held back");
    let fix = text(&slot["fix"], "walgate slots shows all slots");
    match danger {
        "near" | "reached" => Finding::fail(CHECK, seen, why, fix),
        _ if slot["why"].is_string() => Finding::warn(CHECK, seen, why, fix),
        _ => Finding::pass(CHECK, seen),
    }
}

fn journal(journal: &Value) -> Option<Finding> {
    const CHECK: &str = "journal";
    let held = || {
        list(&journal["held_by"])
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
    };
    if let Some(error) = journal["error"].as_str() {
        let fix = "make room, or replace the disk: df on the folder of [journal] path";
        return Some(Finding::fail(CHECK, error, "the disk takes nothing", fix));
    }
    if journal["full"] == Value::Bool(true) {
        let seen = format!("the journal is full, for {}", held().join(", "));
        let why = "the slot holds back what it can't take";
        return Some(Finding::fail(
            CHECK,
            seen,
            why,
            "bring the sink back, or raise [journal] budget",
        ));
    }
    let (used, budget) = (
        journal["bytes"].as_u64()?,
        journal["budget_bytes"].as_u64()?,
    );
    let seen = format!("the journal has {} of {}", bytes(used), bytes(budget));
    Some(Finding::pass(CHECK, seen))
}

fn watch(watch: &Value) -> Option<Finding> {
    let error = watch["error"].as_str()?;
    let fix = text(&watch["hint"], "walgate check -c FILE");
    let why = "what the slots hold back is not known";
    Some(Finding::warn("watch", error, why, fix))
}

fn of_alert(alert: &Value) -> Finding {
    let rule = text(&alert["rule"], "?");
    let summary = text(&alert["summary"], "");
    let seen = format!("{rule} since {}: {summary}", text(&alert["since"], "?"));
    let fix = format!("deploy/runbooks/{rule}.md");
    match text(&alert["severity"], "warning") {
        "warning" => Finding::warn("alert", seen, "the guard has raised it", fix),
        _ => Finding::fail("alert", seen, "the guard has raised it", fix),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use walgate_slot::check::Level;

    use super::*;

    fn levels(status: &Value) -> Vec<(&'static str, Level)> {
        let all = explained(status).into_iter();
        let not = all.filter(|one| one.level != Level::Pass);
        not.map(|one| (one.check, one.level)).collect()
    }

    #[test]
    fn a_healthy_service_has_nothing_to_explain() {
        let status = json!({
            "source": {"state": "streaming", "error": null},
            "sinks": [{"sink": "out", "required": true, "state": "running", "last_error": null}],
            "slots": [{"slot": "s", "ours": true, "danger": "none", "retained_bytes": 5, "why": null}],
            "journal": {"bytes": 1, "budget_bytes": 2, "full": false, "error": null},
            "watch": {"error": null}, "guard": {"alerts": []}, "troubles": [],
        });
        assert_eq!(levels(&status), []);
        let mut unknown = status;
        unknown["troubles"] = json!(["something else"]);
        assert_eq!(levels(&unknown), [("instance", Level::Fail)]);
    }

    #[test]
    fn a_heartbeat_is_told_where_there_is_one() {
        let found = |value: Value| heartbeat(&value).map(|one| (one.level, one.seen));
        assert_eq!(found(Value::Null), None);
        let well = json!({"sent": 3, "latency_seconds": 0.25, "due_seconds": 0.1, "error": null});
        let said = "3 heartbeats were sent, the last took 250ms".to_owned();
        assert_eq!(found(well), Some((Level::Pass, said)));
        let late = json!({"sent": 3, "due_seconds": 75.0, "error": null});
        let said = "a heartbeat has been due for 1m 15s".to_owned();
        assert_eq!(found(late), Some((Level::Warn, said)));
        let kept = json!({"sent": 0, "due_seconds": 5.0, "error": "no right"});
        let said = "no heartbeat is written: no right".to_owned();
        assert_eq!(found(kept), Some((Level::Warn, said)));
    }

    #[test]
    fn each_trouble_has_its_finding() {
        let status = json!({
            "source": {"state": "waiting_for_slot", "holder_pid": 42},
            "sinks": [
                {"sink": "a", "required": true, "state": "retrying", "last_error": "no"},
                {"sink": "b", "required": false, "state": "retrying", "last_error": "no"},
            ],
            "slots": [{"slot": "s", "ours": true, "danger": "near", "why": "sink a is down", "fix": "x"}],
            "journal": {"full": true, "held_by": ["a"], "error": null},
            "watch": {"error": "no look"},
            "guard": {"alerts": [{"rule": "lag", "severity": "critical", "since": "1", "summary": "s"}]},
            "troubles": ["a"],
        });
        let expected = [
            ("source", Level::Fail),
            ("sink", Level::Fail),
            ("sink", Level::Warn),
            ("slot", Level::Fail),
            ("journal", Level::Fail),
            ("watch", Level::Warn),
            ("alert", Level::Fail),
        ];
        assert_eq!(levels(&status), expected);
        assert!(
            explained(&status)[0]
                .fix
                .as_ref()
                .is_some_and(|fix| fix.contains("(42)"))
        );
    }
}
