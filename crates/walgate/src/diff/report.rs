//! What differs, counted and shown.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use super::events::Event;
use crate::ending::Ending;

/// All that two configurations differ in.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) recording: String,
    pub(super) old: String,
    pub(super) new: String,
    pub(super) sinks: Vec<SinkReport>,
}

/// What a sink of that name is given by both.
#[derive(Debug, Serialize)]
pub(super) struct SinkReport {
    sink: String,
    in_old: bool,
    in_new: bool,
    /// By `schema.table`; empty for what has none.
    tables: BTreeMap<String, TableReport>,
}

/// The events of a table.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct TableReport {
    same: u64,
    only_old: u64,
    only_new: u64,
    different: u64,
    examples: Vec<Example>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    OnlyOld,
    OnlyNew,
    Different,
}

/// One event that differs.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Example {
    kind: Kind,
    id: String,
    op: &'static str,
    old: Option<Shown>,
    new: Option<Shown>,
}

/// An event as one of them has it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct Shown {
    value: String,
    /// Where nothing but the keys differs.
    key: Option<String>,
    old_key: Option<String>,
}

impl SinkReport {
    pub(super) fn new(sink: &str, in_old: bool, in_new: bool) -> Self {
        Self {
            sink: sink.to_owned(),
            in_old,
            in_new,
            tables: BTreeMap::new(),
        }
    }

    /// Takes what both make of the same piece of the log.
    pub(super) fn take(&mut self, old: Vec<Event>, new: Vec<Event>, examples: usize) {
        let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => old.order().cmp(&new.order()),
            };
            let before = old.next_if(|_| order != Ordering::Greater);
            let after = new.next_if(|_| order != Ordering::Less);
            self.count(before.as_ref(), after.as_ref(), examples);
        }
    }

    fn count(&mut self, old: Option<&Event>, new: Option<&Event>, examples: usize) {
        let Some(event) = old.or(new) else { return };
        let table = self.tables.entry(event.table.clone()).or_default();
        let (kind, counted) = match (old, new) {
            (Some(old), Some(new)) if old == new => {
                table.same += 1;
                return;
            }
            (Some(_), Some(_)) => (Kind::Different, &mut table.different),
            (Some(_), None) => (Kind::OnlyOld, &mut table.only_old),
            _ => (Kind::OnlyNew, &mut table.only_new),
        };
        *counted += 1;
        if *counted > examples as u64 {
            return;
        }
        let only_keys = match (old, new) {
            (Some(old), Some(new)) => old.value == new.value,
            _ => false,
        };
        table.examples.push(Example {
            kind,
            id: event.position.to_string(),
            op: event.op.name(),
            old: old.map(|event| shown(event, only_keys)),
            new: new.map(|event| shown(event, only_keys)),
        });
    }
}

fn shown(event: &Event, keys: bool) -> Shown {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let value = match &event.value {
        Ok(value) => text(value),
        Err(error) => format!("can't be encoded: {error}"),
    };
    Shown {
        value,
        key: event.key.as_ref().filter(|_| keys).map(text),
        old_key: event.old_key.as_ref().filter(|_| keys).map(text),
    }
}

impl Report {
    pub(super) fn render(&self, as_json: bool) -> Result<String, Ending> {
        if as_json {
            let text = serde_json::to_string(self)
                .map_err(|error| Ending::other(format!("the difference is no JSON: {error}")))?;
            return Ok(text + "\n");
        }
        let mut text = String::new();
        for (place, sink) in self.sinks.iter().enumerate() {
            if place > 0 {
                text.push('\n');
            }
            sink.render(&mut text);
        }
        Ok(text)
    }
}

impl SinkReport {
    fn render(&self, text: &mut String) {
        let only = match (self.in_old, self.in_new) {
            (true, false) => ": only in the old configuration",
            (false, true) => ": only in the new configuration",
            _ => "",
        };
        text.push_str(&format!("sink {}{only}\n", self.sink));
        if self.tables.is_empty() {
            text.push_str("  no events\n");
        }
        for (table, report) in &self.tables {
            let table = match table.as_str() {
                "" => "(no table)",
                table => table,
            };
            text.push_str(&format!(
                "  {table}: {} the same, {} only in old, {} only in new, {} different\n",
                report.same, report.only_old, report.only_new, report.different
            ));
            report
                .examples
                .iter()
                .for_each(|example| example.render(text));
        }
    }
}

impl Example {
    fn render(&self, text: &mut String) {
        for (sign, shown) in [('-', &self.old), ('+', &self.new)] {
            let Some(shown) = shown else { continue };
            text.push_str(&format!("    {sign} {}\n", one_line(&shown.value)));
            for (name, key) in [("key", &shown.key), ("old key", &shown.old_key)] {
                if let Some(key) = key {
                    text.push_str(&format!("    {sign}   {name} {}\n", one_line(key)));
                }
            }
        }
    }
}

/// Values come from elsewhere: control characters must not reach the terminal.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use walgate_core::{Lsn, Op, Position};

    use super::*;

    fn event(index: u32, op: Op, value: &str) -> Event {
        Event {
            position: Position::new(0, Lsn(8), index),
            op,
            table: "public.t".to_owned(),
            value: Ok(value.as_bytes().to_vec()),
            key: Some(b"k".to_vec()),
            old_key: None,
        }
    }

    #[test]
    fn events_are_matched_by_their_place() {
        let old = vec![
            event(2, Op::Insert, "a"),
            event(3, Op::Insert, "b"),
            event(4, Op::Insert, "c"),
        ];
        let new = vec![
            event(2, Op::Schema, "s"),
            event(2, Op::Insert, "a"),
            event(4, Op::Insert, "C"),
        ];
        let mut report = SinkReport::new("x", true, true);
        report.take(old, new, 1);
        let table = &report.tables["public.t"];
        let counted = (table.same, table.only_old, table.only_new, table.different);
        assert_eq!(counted, (1, 1, 1, 1));
        let kinds: Vec<_> = table.examples.iter().map(|example| example.kind).collect();
        assert_eq!(kinds, [Kind::OnlyNew, Kind::OnlyOld, Kind::Different]);
    }

    #[test]
    fn a_key_alone_is_a_difference_and_is_shown() {
        let old = event(2, Op::Insert, "a");
        let new = Event {
            key: Some(b"other".to_vec()),
            ..old.clone()
        };
        let mut report = SinkReport::new("x", true, true);
        report.take(vec![old], vec![new], 3);
        let mut text = String::new();
        report.render(&mut text);
        assert!(text.contains("1 different"), "{text}");
        assert!(
            text.contains("- a\n    -   key k\n    + a\n    +   key other"),
            "{text}"
        );
    }
}
