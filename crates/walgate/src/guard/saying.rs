//! From a notice to a message.

use std::time::{SystemTime, UNIX_EPOCH};

use walgate_alert::{Message, Severity, Told};
use walgate_slot::guard::{Answer, Level, Notice, Standing};

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// What is told of a notice. `source` says whose it is.
pub(crate) fn message(notice: &Notice, source: &str, at: u64) -> Message {
    let of = (notice.rule.as_str(), notice.subject.as_str());
    let base = Message {
        summary: notice.summary.clone(),
        since: notice.since,
        ..bare(notice.kind.name(), of, notice.level, (source, at))
    };
    match &notice.standing {
        Some(standing) => with(base, standing),
        None => base,
    }
}

/// What is told of what stands, by hand.
pub(super) fn of_standing(kind: &str, standing: &Standing, source: &str, at: u64) -> Message {
    let of = (standing.rule.name(), standing.subject.as_str());
    with(bare(kind, of, standing.level, (source, at)), standing)
}

/// A message of a rule and a subject, which name the alert, and of nothing that stands.
fn bare(
    kind: &str,
    (rule, subject): (&str, &str),
    level: Level,
    (source, at): (&str, u64),
) -> Message {
    Message {
        v: 1,
        kind: kind.to_owned(),
        key: format!("{source}/{rule}/{subject}"),
        rule: rule.to_owned(),
        subject: subject.to_owned(),
        severity: severity(level),
        summary: String::new(),
        since: at,
        at,
        source: source.to_owned(),
        facts: std::collections::BTreeMap::new(),
        forecast: None,
        culprit: None,
        command: None,
    }
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

/// What a channel has answered for a notice.
pub(super) fn answer(told: &Told) -> Answer<'_> {
    let message = &told.message;
    Answer {
        rule: &message.rule,
        subject: &message.subject,
        channel: told.channel,
        level: match message.severity {
            _ if message.is_over() => Level::Ok,
            Severity::Warning => Level::Warning,
            Severity::Critical => Level::Critical,
            Severity::Emergency => Level::Emergency,
        },
        arrived: told.arrived,
    }
}
