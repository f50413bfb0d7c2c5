//! The form for people, of events that are JSON already: what a client of a push server shows.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::line::{Line, Look};
use super::visible::push_visible;
use super::{OP_WIDTH, PrettyOptions, Widths, look_of_name};

/// Columns that a line shows at most, as for what comes from the log itself.
const MAX_COLUMNS: usize = 24;

/// Writes native events as [`Pretty`](super::Pretty) writes changes: time, operation, table, key, what
/// has changed.
#[derive(Debug)]
pub struct PrettyEvents {
    options: PrettyOptions,
    widths: Widths,
    line: Line,
}

/// What of an event a person is shown. Keys that are not known are passed by.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    op: String,
    schema: String,
    table: String,
    time: Option<String>,
    xid: Option<u64>,
    key: Row,
    before: Option<Row>,
    after: Option<Row>,
    unchanged: Vec<String>,
    cascade: bool,
    restart_identity: bool,
    prefix: Option<String>,
    content: Option<String>,
    content_base64: Option<String>,
    changes: Option<u64>,
    from: Option<String>,
    to: Option<String>,
    reason: Option<String>,
}

/// Columns in the order of the event.
#[derive(Debug, Default)]
struct Row(Vec<(String, Value)>);

impl Row {
    fn get(&self, column: &str) -> Option<&Value> {
        let mut columns = self.0.iter();
        columns.find_map(|(name, value)| (name == column).then_some(value))
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Row;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of columns")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(Row(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

impl PrettyEvents {
    /// A writer that has shown nothing yet.
    pub fn new(options: PrettyOptions) -> Self {
        let line = Line::new(options.colour);
        Self {
            options,
            widths: Widths::narrow(),
            line,
        }
    }

    /// The line of an event, without its end.
    ///
    /// # Errors
    ///
    /// What of it is no event.
    pub fn line(&mut self, event: &[u8]) -> Result<&str, String> {
        let event: Event = serde_json::from_slice(event).map_err(|error| error.to_string())?;
        if event.op.is_empty() {
            return Err("there is no op".to_owned());
        }
        self.line.clear();
        if let Some(time) = &event.time {
            let clock = shown_time(time, self.options.date);
            self.text(Look::Dim, &clock);
        }
        let time_width = match self.options.date {
            true => "2026-11-21 09:30:00.123".len(),
            false => "09:30:00.123".len(),
        };
        self.line.align(time_width + 2);
        self.text(look_of_name(&event.op), &event.op);
        let start = time_width + 2 + OP_WIDTH + 2;
        self.line.align(start);
        self.text(Look::Plain, &subject(&event));
        self.widths.end_table(start, &mut self.line);
        self.details(&event);
        Ok(self.line.as_str())
    }

    fn details(&mut self, event: &Event) {
        match event.op.as_str() {
            "truncate" => {
                let said = match (event.cascade, event.restart_identity) {
                    (true, true) => "cascade, restart identity",
                    (true, false) => "cascade",
                    (false, true) => "restart identity",
                    (false, false) => "",
                };
                self.text(Look::Plain, said);
            }
            "message" => {
                let content = event.content.as_ref().or(event.content_base64.as_ref());
                let mut shown = String::new();
                let content = content.map_or("", String::as_str).as_bytes();
                push_visible(
                    content,
                    self.options.max_value.saturating_mul(4),
                    &mut shown,
                );
                self.line.push(Look::Plain, &shown);
            }
            "commit" => match event.changes {
                Some(1) => self.text(Look::Plain, "1 change"),
                changes => self.text(Look::Plain, &format!("{} changes", changes.unwrap_or(0))),
            },
            "gap" => {
                let reason = event.reason.as_deref().unwrap_or("for no known reason");
                self.text(Look::Alarm, &format!("changes are lost: {reason}"));
            }
            "begin" => {}
            _ => self.row(event),
        }
    }

    fn row(&mut self, event: &Event) {
        let start = self.line.column();
        for (column, value) in &event.key.0 {
            self.column(column, value);
        }
        self.widths.end_key(start, &mut self.line);
        let no_row = Row::default();
        let before = event.before.as_ref().unwrap_or(&no_row);
        let now = event.after.as_ref().unwrap_or(before);
        let is_update = event.after.is_some() && event.before.is_some();
        // An old row that holds every column is the whole one: then it is known what has changed.
        let is_full = is_update && now.0.iter().all(|(name, _)| before.get(name).is_some());
        let is_shown = |name: &str, value: &Value| match before.get(name) {
            Some(before) if is_update => before != value,
            _ => event.key.get(name).is_none(),
        };
        let others: Vec<_> = now
            .0
            .iter()
            .filter(|(name, value)| is_shown(name, value))
            .collect();
        for (column, value) in others.iter().take(MAX_COLUMNS) {
            match before.get(column).filter(|_| is_update) {
                Some(before) => self.change(column, before, value),
                None => self.column(column, value),
            }
        }
        if let Some(more @ 1..) = others.len().checked_sub(MAX_COLUMNS) {
            self.text(Look::Dim, &format!("… {more} more columns"));
        }
        for column in event.unchanged.iter().filter(|_| !is_full) {
            self.name(column, "=");
            self.text(Look::Dim, "(unchanged)");
            self.line.align(0);
        }
        if others.is_empty() && is_full {
            self.text(Look::Dim, "(no change)");
        }
    }

    /// `name=value`
    fn column(&mut self, column: &str, value: &Value) {
        self.name(column, "=");
        self.value(value);
        self.line.align(0);
    }

    /// `name: before → now`
    fn change(&mut self, column: &str, before: &Value, now: &Value) {
        self.name(column, ": ");
        self.value(before);
        self.text(Look::Dim, " → ");
        self.value(now);
        self.line.align(0);
    }

    fn name(&mut self, column: &str, end: &str) {
        let mut name = String::new();
        push_visible(column.as_bytes(), self.options.max_value, &mut name);
        name.push_str(end);
        self.line.push(Look::Dim, &name);
    }

    fn value(&mut self, value: &Value) {
        let mut shown = String::new();
        match value {
            Value::Null => return self.text(Look::Dim, "null"),
            Value::String(text) => {
                let is_unclear = |byte: &u8| byte.is_ascii_whitespace() || b"'=".contains(byte);
                let is_quoted = text.is_empty()
                    || text == "null"
                    || text
                        .bytes()
                        .take(self.options.max_value)
                        .any(|byte| is_unclear(&byte));
                let quote = if is_quoted { "'" } else { "" };
                shown.push_str(quote);
                push_visible(text.as_bytes(), self.options.max_value, &mut shown);
                shown.push_str(quote);
            }
            other => {
                let text = other.to_string();
                push_visible(text.as_bytes(), self.options.max_value, &mut shown);
            }
        }
        self.line.push(Look::Plain, &shown);
    }

    /// What comes from a server has no more power over the terminal than what comes from a table.
    fn text(&mut self, look: Look, text: &str) {
        let mut shown = String::new();
        push_visible(text.as_bytes(), usize::MAX, &mut shown);
        self.line.push(look, &shown);
    }
}

/// The table, or what stands in its place.
fn subject(event: &Event) -> String {
    if !event.table.is_empty() {
        return format!("{}.{}", event.schema, event.table);
    }
    match (&event.prefix, &event.from, &event.to, event.xid) {
        (Some(prefix), ..) => prefix.clone(),
        (_, Some(from), Some(to), _) => format!("{from} → {to}"),
        (_, _, _, Some(xid)) => format!("xid {xid}"),
        _ => String::new(),
    }
}

/// Time of day in milliseconds, with the date before it when asked for; what is no ordinary date is
/// shown as it is.
fn shown_time(time: &str, date: bool) -> String {
    match (time.split_once('T'), time.len()) {
        (Some((day, clock)), 27) => {
            let clock = clock.get(..12).unwrap_or(clock);
            match date {
                true => format!("{day} {clock}"),
                false => clock.to_owned(),
            }
        }
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: &[&str]) -> Vec<String> {
        let mut pretty = PrettyEvents::new(PrettyOptions::default());
        let shown = events.iter().map(|event| {
            let line = pretty.line(event.as_bytes());
            line.expect("an event").to_owned()
        });
        shown.collect()
    }

    #[test]
    fn a_row_is_shown_with_what_has_changed() {
        let shown = lines(&[
            r#"{"id":"00000000014a2f60-00000002","op":"insert","schema":"public","table":"orders","key":{"id":1},"after":{"id":1,"status":"new order","n":null,"j":{"a":[1]}},"lsn":"0/14A2F60","xid":7,"time":"2026-11-21T09:30:00.123456Z"}"#,
            r#"{"op":"update","schema":"public","table":"orders","key":{"id":1},"before":{"id":1,"status":"new","n":2},"after":{"id":1,"status":"paid","n":2},"time":"2026-11-21T09:30:00.123456Z"}"#,
            r#"{"op":"update","schema":"public","table":"orders","key":{"id":1},"after":{"id":1,"status":"paid"},"unchanged":["note"]}"#,
            r#"{"op":"update","schema":"public","table":"orders","key":{"id":1},"before":{"id":1},"after":{"id":1}}"#,
            r#"{"op":"leave","schema":"public","table":"orders","key":{"id":1}}"#,
            r#"{"op":"delete","schema":"public","table":"orders","key":{"id":1},"before":{"id":1,"status":"x"}}"#,
        ]);
        assert_eq!(
            shown,
            [
                "09:30:00.123  insert    public.orders  id=1    status='new order' n=null j={\"a\":[1]}",
                "09:30:00.123  update    public.orders  id=1    status: new → paid",
                "              update    public.orders  id=1    status=paid note=(unchanged)",
                "              update    public.orders  id=1    (no change)",
                "              leave     public.orders  id=1",
                "              delete    public.orders  id=1    status=x",
            ]
        );
    }

    #[test]
    fn what_is_no_row_is_shown() {
        let shown = lines(&[
            r#"{"op":"truncate","schema":"a","table":"b","cascade":true,"restart_identity":false}"#,
            r#"{"op":"message","prefix":"app","content":"hello\u001b[2J","transactional":false}"#,
            r#"{"op":"begin","xid":7}"#,
            r#"{"op":"commit","xid":7,"changes":1}"#,
            r#"{"op":"gap","from":"0/1","to":"0/2","reason":"sink_fell_behind"}"#,
            r#"{"op":"later","schema":"a","table":"b","key":{"id":1}}"#,
        ]);
        let shown: Vec<_> = shown.iter().map(|line| line.trim_start()).collect();
        assert_eq!(
            shown,
            [
                "truncate  a.b           cascade",
                "message   app           hello\\u{1b}[2J",
                "begin     xid 7",
                "commit    xid 7         1 change",
                "gap       0/1 → 0/2     changes are lost: sink_fell_behind",
                "later     a.b           id=1",
            ]
        );
        let mut pretty = PrettyEvents::new(PrettyOptions::default());
        assert!(pretty.line(b"[]").is_err() && pretty.line(b"{\"op\":1}").is_err());
    }
}
