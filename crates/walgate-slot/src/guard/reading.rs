//! From facts to values, and from values to words.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::facts::{Facts, SinkFacts, SlotFacts, Stage};
use super::level::{Level, Thresholds};
use super::recent::Recents;
use super::rule::Rule;
use crate::words::{bytes, duration};

/// Something that is not well.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// By which rule.
    pub rule: Rule,
    /// The slot or the sink that it is about.
    pub subject: String,
    /// How bad it is: a level is left only after some time.
    pub level: Level,
    /// How bad the value of this moment is; none while that is not known.
    pub seen: Option<Level>,
    /// What waits for us is the reason, so that it would help to give it up.
    pub ours: bool,
    /// One sentence: lowercase, no period.
    pub summary: String,
    /// The value that was judged, in bytes, seconds, percent or how many; none while it is not known.
    pub value: Option<f64>,
    /// The bound of this level.
    pub threshold: Option<f64>,
    /// What is known, by name.
    pub facts: BTreeMap<&'static str, Value>,
    /// When room runs out, in words.
    pub forecast: Option<String>,
    /// Why log is held back, in one sentence.
    pub culprit: Option<String>,
    /// The one command, or what else to do.
    pub command: String,
}

impl Standing {
    /// Of a process that ends and needs a human.
    #[must_use]
    pub fn of_end(slot: &str, rule: Rule, summary: String, command: String) -> Self {
        Self {
            rule,
            subject: slot.to_owned(),
            level: Level::Critical,
            seen: None,
            ours: false,
            summary,
            value: None,
            threshold: None,
            facts: BTreeMap::from([("slot", json!(slot))]),
            forecast: None,
            culprit: None,
            command,
        }
    }
}

/// A value of a rule.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) subject: String,
    /// None when it is not known.
    pub(super) value: Option<f64>,
    facts: &'a Facts,
    sink: Option<&'a SinkFacts>,
}

/// Reads facts.
pub(super) struct Readings<'a> {
    facts: &'a Facts,
    recents: &'a mut Recents,
    now: Instant,
}

impl<'a> Readings<'a> {
    pub(super) fn new(facts: &'a Facts, recents: &'a mut Recents, now: Instant) -> Self {
        Self {
            facts,
            recents,
            now,
        }
    }

    /// The values of a rule: one, or one for each sink.
    pub(super) fn of(&mut self, rule: Rule) -> Vec<Reading<'a>> {
        let facts = self.facts;
        match rule {
            Rule::SinkDown | Rule::ErrorRate | Rule::Backlog | Rule::DeadLetters => {
                let sinks = facts.sinks.iter();
                let of = sinks.map(|sink| Reading {
                    subject: sink.name.clone(),
                    value: self.of_sink(rule, sink),
                    facts,
                    sink: Some(sink),
                });
                of.collect()
            }
            Rule::HeartbeatLate if facts.heartbeat.is_none() => Vec::new(),
            Rule::Gap => {
                let sinks = facts.sinks.iter();
                let of = sinks.map(|sink| Reading {
                    subject: gap_of(sink, &facts.slot),
                    value: self.of_sink(rule, sink),
                    facts,
                    sink: Some(sink),
                });
                let of_sinks: Vec<_> = of.collect();
                let mut all = vec![self.about_slot(rule)];
                all.extend(of_sinks);
                all
            }
            Rule::JournalFull if facts.journal.is_none() && !facts.journal_opens => Vec::new(),
            _ => vec![self.about_slot(rule)],
        }
    }

    fn about_slot(&mut self, rule: Rule) -> Reading<'a> {
        Reading {
            subject: self.facts.slot.clone(),
            value: self.of_slot(rule),
            facts: self.facts,
            sink: None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "compared with round numbers")]
    fn of_sink(&mut self, rule: Rule, sink: &SinkFacts) -> Option<f64> {
        match rule {
            Rule::SinkDown => sink.down_for.map(|time| time.as_secs_f64()),
            Rule::ErrorRate => self.recents.failing(&sink.name, self.now, sink.failures),
            Rule::Backlog => sink.backlog_bytes.map(|bytes| bytes as f64),
            Rule::DeadLetters => {
                let letters = self
                    .recents
                    .dead_letters(&sink.name, self.now, sink.dead_letters);
                Some(letters as f64)
            }
            Rule::Gap => {
                let of = gap_of(sink, &self.facts.slot);
                Some(self.recents.gaps(&of, self.now, sink.gaps) as f64)
            }
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "compared with round numbers")]
    fn of_slot(&mut self, rule: Rule) -> Option<f64> {
        let facts = self.facts;
        let seconds = |time: Duration| match time {
            Duration::MAX => f64::INFINITY,
            time => time.as_secs_f64(),
        };
        let seen = facts.seen.as_ref();
        match rule {
            Rule::RetainedBytes => Some(seen?.retained_bytes? as f64),
            Rule::Headroom => seen?.headroom_percent(),
            Rule::Lag => seen?.lag.map(seconds),
            Rule::TimeToLimit => seen?.time_left.map(seconds),
            Rule::SlotInactive => seen?.inactive_for.map(seconds),
            Rule::SlotStatus => seen?.stage.map(|stage| match stage {
                Stage::Reserved => 0.0,
                Stage::Extended => 1.0,
                Stage::Unreserved => 2.0,
                Stage::Lost => 3.0,
            }),
            Rule::ServerSilent => facts.silent_for.map(seconds),
            Rule::HeartbeatLate => facts.heartbeat.as_ref()?.late_for.map(seconds),
            Rule::CatalogXmin => Some(seen?.catalog_xmin_age? as f64),
            Rule::OrphanSlots => Some(seen?.orphans.len() as f64),
            Rule::PublicationTables => Some(facts.missing_tables? as f64),
            Rule::SynchronousStandby => Some(f64::from(u8::from(seen?.synchronous?))),
            Rule::JournalFull => facts.journal.as_ref().and_then(|journal| {
                let share = journal.held_bytes as f64 * 100.0 / journal.budget_bytes as f64;
                let full = if journal.full { 100.0 } else { 0.0 };
                (journal.budget_bytes > 0 || journal.full).then(|| share.max(full))
            }),
            Rule::Gap => facts
                .gaps
                .map(|total| self.recents.gaps(&facts.slot, self.now, total) as f64),
            Rule::WatchBlind => facts.blind_for.map(seconds),
            // A process that lives never finds out that it is down, only that it no longer is.
            Rule::Down => facts.streaming.filter(|streaming| *streaming).map(|_| 0.0),
            Rule::SinkDown | Rule::ErrorRate | Rule::Backlog | Rule::DeadLetters => None,
        }
    }
}

/// What an alert about a sink's own gaps is about: never the slot itself.
fn gap_of(sink: &SinkFacts, slot: &str) -> String {
    match sink.name == slot {
        true => format!("sink {slot}"),
        false => sink.name.clone(),
    }
}

impl Reading<'_> {
    pub(super) fn standing(&self, rule: Rule, level: Level, thresholds: &Thresholds) -> Standing {
        let seen = self.facts.seen.as_ref();
        let about_log = !matches!(
            rule,
            Rule::OrphanSlots | Rule::DeadLetters | Rule::PublicationTables
        );
        let culprit = seen.and_then(|seen| seen.culprit.clone());
        let forecast = seen.and_then(|seen| seen.forecast.clone());
        Standing {
            rule,
            subject: self.subject.clone(),
            level,
            seen: self.value.and_then(|value| thresholds.level(value)),
            ours: !rule.is_of_server_disk() || seen.is_some_and(SlotFacts::is_the_reason),
            summary: self.summary(rule),
            value: self.value.filter(|value| value.is_finite()),
            threshold: thresholds.bound(level),
            facts: self.facts_by_name(),
            forecast: forecast.filter(|_| about_log),
            culprit: culprit.filter(|_| about_log),
            command: self.command(rule),
        }
    }

    fn summary(&self, rule: Rule) -> String {
        let subject = &self.subject;
        if rule == Rule::Down {
            return format!("slot {subject} was left, and changes do not flow for certain yet");
        }
        let Some(value) = self.value else {
            return format!("{} of {subject} is not known at the moment", rule.name());
        };
        let time = duration(Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was made from a number of bytes"
        )]
        let size = bytes(value as u64);
        let seen = self.facts.seen.as_ref();
        let limit = seen.and_then(|seen| seen.limit).unwrap_or("the limit");
        let error = self.sink.and_then(|sink| sink.last_error.as_deref());
        let because = error.map_or_else(String::new, |error| format!(": {error}"));
        match rule {
            Rule::RetainedBytes => format!("slot {subject} holds back {size} of log"),
            Rule::Headroom => format!("slot {subject} has {value:.0} % left until {limit}"),
            Rule::Lag => format!("slot {subject} is {time} behind"),
            Rule::TimeToLimit => format!("slot {subject} reaches {limit} in {time}"),
            Rule::SlotInactive => format!("nobody has used slot {subject} for {time}"),
            Rule::SlotStatus => self.status(),
            Rule::ServerSilent => format!("the server has said nothing for {time}"),
            Rule::HeartbeatLate => {
                let heartbeat = self.facts.heartbeat.as_ref();
                match heartbeat.and_then(|heartbeat| heartbeat.kept_by.as_deref()) {
                    Some(why) => format!("no heartbeat could be written for {time}: {why}"),
                    None => format!("a heartbeat was committed {time} ago and has not come back"),
                }
            }
            Rule::SinkDown => format!("sink {subject} has been down for {time}{because}"),
            Rule::ErrorRate => format!(
                "sink {subject} failed before {value:.0} % of the looks of the last 5 minutes{because}"
            ),
            Rule::Backlog => format!("sink {subject} has not got {size} of log that were received"),
            Rule::DeadLetters => {
                format!("sink {subject} refused {value:.0} records within an hour for good")
            }
            Rule::CatalogXmin => format!(
                "slot {subject} keeps catalog rows of {value:.0} transactions from being cleaned up"
            ),
            Rule::OrphanSlots => self.orphans(),
            Rule::PublicationTables => {
                format!("{value:.0} configured tables are not published any more")
            }
            Rule::SynchronousStandby => {
                format!(
                    "commits of the server wait for slot {subject}: it counts as a synchronous standby"
                )
            }
            Rule::JournalFull => {
                format!("the journal is {value:.0} % full of what sinks have not got")
            }
            Rule::Gap if self.sink.is_some() => {
                let name = self.sink.map_or("", |sink| sink.name.as_str());
                format!("changes were lost for sink {name} alone {value:.0} times within an hour")
            }
            Rule::Gap => format!("changes were lost {value:.0} times within an hour"),
            Rule::WatchBlind => {
                let because = self.facts.blind_because.as_deref();
                let because = because.map_or_else(String::new, |why| format!(": {why}"));
                format!("no look at the server's slots for {time}{because}")
            }
            // Said before.
            Rule::Down => String::new(),
        }
    }

    fn status(&self) -> String {
        let subject = &self.subject;
        let seen = self.facts.seen.as_ref();
        let lost = seen.and_then(|seen| seen.lost.as_deref());
        match (seen.and_then(|seen| seen.stage), lost) {
            (_, Some(why)) => format!("slot {subject} is lost: {why}"),
            (Some(Stage::Unreserved), None) => {
                format!(
                    "slot {subject} is unreserved: the next checkpoint may remove what it needs"
                )
            }
            (_, None) => {
                format!("slot {subject} is extended: it holds back more than max_wal_size")
            }
        }
    }

    fn orphans(&self) -> String {
        /// A sentence has room for so many names.
        const MOST: usize = 5;
        let orphans = self.facts.seen.as_ref().map(|seen| &seen.orphans[..]);
        let orphans = orphans.unwrap_or_default();
        let one =
            |orphan: &super::Orphan| format!("{} ({})", orphan.slot, bytes(orphan.retained_bytes));
        let names: Vec<_> = orphans.iter().take(MOST).map(one).collect();
        let more = match orphans.len().saturating_sub(MOST) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "nobody uses slots that hold back log: {}{more}",
            names.join(", ")
        )
    }

    fn command(&self, rule: Rule) -> String {
        let slot = &self.facts.slot;
        let seen = self.facts.seen.as_ref();
        match rule {
            Rule::RetainedBytes
            | Rule::Headroom
            | Rule::Lag
            | Rule::TimeToLimit
            | Rule::SlotInactive
            | Rule::SlotStatus => seen
                .and_then(|seen| seen.fix.clone())
                .unwrap_or_else(|| "walgate slots".to_owned()),
            Rule::ServerSilent | Rule::HeartbeatLate | Rule::WatchBlind | Rule::Down => {
                "walgate check".to_owned()
            }
            Rule::SinkDown | Rule::ErrorRate | Rule::Backlog => format!(
                "bring sink {} back; what it lacks waits for it: walgate slots",
                self.subject
            ),
            Rule::DeadLetters => "walgate journal letters".to_owned(),
            Rule::CatalogXmin => format!("walgate slots; VACUUM frees them once {slot} has moved"),
            Rule::OrphanSlots => {
                let orphans = seen.and_then(|seen| seen.orphans.first());
                let name = orphans.map_or("NAME", |orphan| orphan.slot.as_str());
                format!("ask its owner, then: walgate slots drop {name}")
            }
            Rule::PublicationTables => {
                "ALTER PUBLICATION … ADD TABLE …, with each table that is missing".to_owned()
            }
            Rule::SynchronousStandby => {
                "take our application_name out of synchronous_standby_names, and reload".to_owned()
            }
            Rule::JournalFull => {
                "bring the sinks back that are behind, or raise [journal] budget".to_owned()
            }
            Rule::Gap => {
                "read the log for the range, and fill it from the source's tables".to_owned()
            }
        }
    }

    fn facts_by_name(&self) -> BTreeMap<&'static str, Value> {
        let mut named = BTreeMap::from([("slot", json!(self.facts.slot))]);
        if let Some(seen) = &self.facts.seen {
            name_slot(&mut named, seen);
        }
        if let Some(sink) = self.sink {
            named.insert("sink", json!(sink.name));
            named.insert("sink_required", json!(sink.required));
            named.insert("sink_error", json!(sink.last_error));
            named.insert("sink_backlog_bytes", json!(sink.backlog_bytes));
        }
        if let Some(journal) = &self.facts.journal {
            named.insert("journal_held_bytes", json!(journal.held_bytes));
            named.insert("journal_budget_bytes", json!(journal.budget_bytes));
            named.insert("journal_held_by", json!(journal.held_by));
        }
        named.retain(|_, value| !value.is_null());
        named
    }
}

fn name_slot(named: &mut BTreeMap<&'static str, Value>, seen: &SlotFacts) {
    let seconds = |time: Duration| match time {
        Duration::MAX => Value::Null,
        time => json!(time.as_secs()),
    };
    named.insert("retained_bytes", json!(seen.retained_bytes));
    named.insert("headroom_bytes", json!(seen.headroom_bytes));
    named.insert("limit", json!(seen.limit));
    named.insert("lag_seconds", seen.lag.map_or(Value::Null, seconds));
    let left = seen.time_left.map_or(Value::Null, seconds);
    named.insert("seconds_to_limit", left);
    let inactive = seen.inactive_for.map_or(Value::Null, seconds);
    named.insert("inactive_seconds", inactive);
    named.insert("catalog_xmin_age", json!(seen.catalog_xmin_age));
}
