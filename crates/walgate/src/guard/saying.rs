//! From a notice to a message.

use std::time::{SystemTime, UNIX_EPOCH};

use walgate_alert::{Message, Severity};
use walgate_slot::guard::{Level, Notice, Standing};

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What is told of a notice. `source` says whose it is.
pub(crate) fn message(notice: &Notice, source: &str, at: u64) -> Message {
    let base = Message {
        v: 1,
        kind: notice.kind.name().to_owned(),
        key: format!("{source}/{}", notice.key),
        rule: notice.rule.clone(),
        subject: notice.subject.clone(),
        severity: severity(notice.level),
        summary: notice.summary.clone(),
        since: notice.since,
        at,
        source: source.to_owned(),
        facts: std::collections::BTreeMap::new(),
        forecast: None,
        culprit: None,
        command: None,
    };
    match &notice.standing {
        Some(standing) => with(base, standing),
        None => base,
    }
}

/// What is told of what stands, by hand.
pub(super) fn of_standing(kind: &str, standing: &Standing, source: &str, at: u64) -> Message {
    let base = Message {
        v: 1,
        kind: kind.to_owned(),
        key: format!("{source}/{}/{}", standing.rule.name(), standing.subject),
        rule: standing.rule.name().to_owned(),
        subject: standing.subject.clone(),
        severity: severity(standing.level),
        summary: String::new(),
        since: at,
        at,
        source: source.to_owned(),
        facts: std::collections::BTreeMap::new(),
        forecast: None,
        culprit: None,
        command: None,
    };
    with(base, standing)
}

fn with(base: Message, standing: &Standing) -> Message {
    let facts = standing.facts.iter();
    let facts = facts.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let numbers = [("value", standing.value), ("threshold", standing.threshold)];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Message {
        summary: standing.summary.clone(),
        facts: facts.chain(numbers).collect(),
        forecast: standing.forecast.clone(),
        culprit: standing.culprit.clone(),
        command: Some(standing.command.clone()),
        ..base
    }
}

const fn severity(level: Level) -> Severity {
    match level {
        Level::Ok | Level::Warning => Severity::Warning,
        Level::Critical => Severity::Critical,
        Level::Emergency => Severity::Emergency,
    }
}
