//! A service with a journal and a Kafka, and what its topic holds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{
    Bed, Ended, LEDGER, Ledger, Program, Stored, journal_on_disk, place, records, replay,
};
use walgate_throwaway::PgVersion;

use crate::sink_faults::topics::{creating, header, kafka_sink};

/// What a rewind and its end say in the log.
pub(crate) const BEGUN: &str = "rewinding: what the journal retains comes again";
pub(crate) const OVER: &str = "the rewind is over";

/// A database with the table of the workload, a journal on disk, and a Kafka sink into a topic of
/// the bed's name.
pub(crate) fn bed(name: &str, bootstrap: &str) -> Result<Bed> {
    let setup = format!("{LEDGER};\ncreate publication walgate for table ledger;");
    let mut bed = Bed::shared(PgVersion::V17, name, &setup)?;
    bed.more = journal_on_disk("");
    let more = format!("topic = \"{name}\"\ntombstones = false\n{}", creating(3));
    bed.configure(&kafka_sink(bootstrap, &more))?;
    Ok(bed)
}

/// Runs a command with the bed's configuration.
pub(crate) fn command(bed: &Bed, words: &[&str]) -> Result<Ended> {
    let config = bed.write_config()?;
    let words = words.iter().map(AsRef::as_ref);
    Program::start(words.chain(["-c".as_ref(), config.as_os_str()]))?.wait()
}

/// Asks for a rewind of the sink `kafka`, which is accepted; gives the answer.
pub(crate) fn rewind(bed: &Bed, to: &str) -> Result<Value> {
    let words = ["rewind", "kafka", "--to", to, "--accept-reorder", "--json"];
    let ended = command(bed, &words)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let answer: Value = serde_json::from_str(&ended.lines.concat())?;
    ensure!(answer["ok"] == true, "{answer}");
    Ok(answer["rewind"].clone())
}

/// Whether a rewind is not over.
pub(crate) fn is_under_way(state: &Path) -> bool {
    state.join("rewinds").exists()
}

/// A record of a topic: its event, and what it has come again by.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) replay: Option<String>,
    pub(crate) stored: Stored,
}

/// The records of each partition.
pub(crate) fn topic(bootstrap: &str, topic: &str) -> Result<Vec<Vec<Record>>> {
    let record = |stored: Stored| {
        let id = header(&stored, "walgate-id").context("an id")?.to_owned();
        let replay = header(&stored, "walgate-replay").map(str::to_owned);
        Ok(Record { id, replay, stored })
    };
    records(bootstrap, topic)?
        .into_iter()
        .map(|records| records.into_iter().map(record).collect())
        .collect()
}

fn event(record: &Record) -> Result<Value> {
    let value = record.stored.value.as_ref().context("a value")?;
    Ok(serde_json::from_str(value)?)
}

/// The table that the events make when each counts once, in the order of the log: what is missing
/// there shows as a hole in the versions of a row.
pub(crate) fn each_once(partitions: &[Vec<Record>]) -> Result<Ledger> {
    let mut folded = Ledger::new();
    for records in partitions {
        let mut events = BTreeMap::new();
        for record in records {
            let event = event(record)?;
            let known = events
                .entry(place(&event)?)
                .or_insert_with(|| event.clone());
            ensure!(*known == event, "the same id has another event: {event}");
        }
        folded.extend(replay(events.values())?);
    }
    Ok(folded)
}

/// The table of a consumer that takes whatever comes last for a row, as a compacted topic does.
pub(crate) fn last_wins(partitions: &[Vec<Record>]) -> Result<Ledger> {
    let mut table = Ledger::new();
    for record in partitions.iter().flatten() {
        let event = event(record)?;
        let id = event["key"]["id"].as_i64().context("a key")?;
        if event["op"] == "delete" {
            table.remove(&id);
            continue;
        }
        let version = event["after"]["version"].as_i64().context("a version")?;
        let note = event["after"]["note"].as_str().context("a note")?;
        table.insert(id, (version, note.to_owned()));
    }
    Ok(table)
}
