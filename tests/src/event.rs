//! Reading the program's events.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;

/// `{"id":"<id>"` at the start of an event.
static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^\{"id":"([0-9a-f]{16})-([0-9a-f]{8})""#));
/// `"lsn":…,"xid":…,"time":…` of an event inside a transaction.
static STAMP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r#","lsn":"([0-9A-F]+)/([0-9A-F]+)"(?:,"xid":(\d+))?"#,
        r#"(?:,"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")?"#
    ))
});

/// The OID of a table or a user-defined type, which differs from database to database.
static USER_TYPE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#","(?:type_)?oid":(?:1638[4-9]|163[9]\d|16[4-9]\d\d|1[7-9]\d{3}|[2-9]\d{4}|\d{6,})"#)
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Makes events comparable: commit LSNs become 1, 2, … in the order in which they come, indices
/// decimal numbers (`c` for a commit), and lsn, xid and time go, once they were found to be well
/// formed and to agree with the id and with each other.
///
/// # Errors
///
/// When a line is not an event, an id does not rise, or one of them disagrees.
pub fn compact(lines: &[String]) -> Result<Vec<String>> {
    let mut transactions: Vec<(u64, Option<String>)> = Vec::new();
    let mut last = String::new();
    let mut compact = Vec::new();
    for line in lines {
        serde_json::from_str::<Value>(line).with_context(|| format!("not JSON: {line}"))?;
        let Some(id) = ID.captures(line) else {
            ensure!(
                line.starts_with(r#"{"op":"schema""#),
                "an event without an id: {line}"
            );
            compact.push(
                USER_TYPE
                    .replace_all(&STAMP.replace(line, ""), "")
                    .into_owned(),
            );
            continue;
        };
        let whole = format!("{}-{}", &id[1], &id[2]);
        ensure!(whole > last, "{whole} does not rise above {last}");
        last = whole;
        let lsn = u64::from_str_radix(&id[1], 16)?;
        let index = u32::from_str_radix(&id[2], 16)?;
        let stamp = STAMP.captures_iter(line).last();
        let stamp = stamp.with_context(|| format!("no lsn, xid and time: {line}"))?;
        let stamped =
            (u64::from_str_radix(&stamp[1], 16)? << 32) | u64::from_str_radix(&stamp[2], 16)?;
        ensure!(stamped == lsn, "lsn and id disagree: {line}");
        let xid = stamp.get(3).map(|xid| xid.as_str().to_owned());
        if transactions.last().is_none_or(|(open, _)| *open != lsn) {
            transactions.push((lsn, xid.clone()));
        }
        let known = transactions.last().map(|(_, xid)| xid.clone());
        ensure!(
            index == 0 || known == Some(xid),
            "two xids at one commit lsn: {line}"
        );
        let index = if index == u32::MAX {
            "c".to_owned()
        } else {
            index.to_string()
        };
        let range = stamp.get(0).map_or(0..0, |found| found.range());
        let mut text = line.clone();
        text.replace_range(range, "");
        let head = format!(r#"{{"id":"{}.{index}""#, transactions.len());
        compact.push(ID.replace(&text, regex::NoExpand(&head)).into_owned());
    }
    Ok(compact)
}

/// Applies events to an empty replica: for each `schema.table` the rows by key. Repeats are
/// skipped by id where `last_ids` has seen them.
///
/// # Errors
///
/// When an event can't be applied: an update or delete of a row that is not there, or without key.
pub fn fold<'a>(
    events: impl IntoIterator<Item = &'a Value>,
) -> Result<BTreeMap<String, BTreeMap<String, Value>>> {
    let mut tables: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    let mut last = String::new();
    for event in events {
        let Some(id) = event["id"].as_str() else {
            continue;
        };
        if *id <= *last {
            continue;
        }
        id.clone_into(&mut last);
        let table = format!(
            "{}.{}",
            event["schema"].as_str().unwrap_or_default(),
            event["table"].as_str().unwrap_or_default()
        );
        let rows = tables.entry(table).or_default();
        let key = event["key"].to_string();
        match event["op"].as_str() {
            Some("insert") => {
                rows.insert(key, event["after"].clone());
            }
            Some("update") => update(rows, event, key)?,
            Some("delete") => {
                ensure!(
                    rows.remove(&key).is_some(),
                    "deletes a row that is not there: {event}"
                );
            }
            Some("truncate") => rows.clear(),
            _ => {}
        }
    }
    tables.retain(|_, rows| !rows.is_empty());
    Ok(tables)
}

fn update(rows: &mut BTreeMap<String, Value>, event: &Value, key: String) -> Result<()> {
    let mut old_key = event["key"].clone();
    if let (Some(before), Some(columns)) = (event["before"].as_object(), old_key.as_object_mut()) {
        for (name, value) in columns {
            if let Some(old) = before.get(name) {
                *value = old.clone();
            }
        }
    }
    let old = rows.remove(&old_key.to_string());
    let mut row = old.with_context(|| format!("updates a row that is not there: {event}"))?;
    let after = event["after"]
        .as_object()
        .context("an update has a new row")?;
    for (name, value) in after {
        row[name] = value.clone();
    }
    rows.insert(key, row);
    Ok(())
}

/// The whole lines of a file of events; none when it is not there yet.
///
/// # Errors
///
/// When it can't be read, or a line is not an event.
pub fn events(path: &Path) -> Result<Vec<Value>> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n');
    let whole = text.get(..whole.map_or(0, |at| at + 1)).unwrap_or_default();
    parse(std::str::from_utf8(whole)?.lines())
}

/// Lines as events.
///
/// # Errors
///
/// When a line is none.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Value>> {
    let event = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
    lines.into_iter().map(event).collect()
}

/// The place of an event, from its id: the position of its commit, and its index there.
///
/// # Errors
///
/// When it has no such id.
pub fn place(event: &Value) -> Result<(u64, u32)> {
    let id = event["id"].as_str().unwrap_or_default();
    let index = id
        .get(17..)
        .with_context(|| format!("an index in the id: {event}"))?;
    Ok((commit_lsn(event)?, u32::from_str_radix(index, 16)?))
}

/// The position of a commit, from the id of one of its events.
///
/// # Errors
///
/// When it has no such id.
pub fn commit_lsn(event: &Value) -> Result<u64> {
    let id = event["id"]
        .as_str()
        .with_context(|| format!("an id: {event}"))?;
    Ok(u64::from_str_radix(id.get(2..16).context("digits")?, 16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacts_ids_and_takes_the_stamp_out() {
        let line = concat!(
            r#"{"id":"00000000014a2f60-00000002","op":"insert","after":{"a":",\"lsn\":"},"#,
            r#""lsn":"0/14A2F60","xid":771,"time":"2026-11-21T09:30:00.123456Z"}"#
        );
        let compact = compact(&[line.to_owned()]).unwrap();
        assert_eq!(
            compact,
            [r#"{"id":"1.2","op":"insert","after":{"a":",\"lsn\":"}}"#]
        );
    }

    #[test]
    fn refuses_ids_that_fall_and_stamps_that_disagree() {
        let event = |id: &str, lsn: &str| {
            format!(
                r#"{{"id":"{id}","op":"x","lsn":"{lsn}","xid":1,"time":"2026-11-21T09:30:00Z"}}"#
            )
        };
        let two = [
            event("0000000000000010-00000003", "0/10"),
            event("0000000000000010-00000002", "0/10"),
        ];
        assert!(compact(&two).is_err());
        assert!(compact(&[event("0000000000000010-00000003", "0/11")]).is_err());
    }
}
