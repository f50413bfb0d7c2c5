//! The program is killed again and again at random moments under load, and nothing is lost.
//!
//! A failure prints its seed; `WALGATE_TEST_SEED=<seed> cargo test -p walgate-tests kill_` runs the
//! same workload and the same moments again.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use walgate_tests::{
    Bed, LEDGER, Ledger, Workload, commit_lsn, ends, ledger, long, quiet, records, replay, seed,
};
use walgate_throwaway::{PgVersion, shared_kafka};

/// Kills of `make test`, and of `make test-all`.
const KILLS: usize = 40;
const KILLS_LONG: usize = 500;

/// What the log of a killed program may hold: the walsender of the one before it is still there for
/// a moment.
const KNOWN: &[&str] = &["is active for", "in use"];

fn kills() -> usize {
    if long() { KILLS_LONG } else { KILLS }
}

/// What was seen right after a kill.
struct Seen<T> {
    /// `confirmed_flush_lsn` of the slot.
    confirmed: u64,
    /// How much the destination held.
    held: T,
}

/// Where changes wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Journal {
    Memory,
    /// In segments so small that many begin and end, with nothing kept that no sink needs.
    Disk,
}

impl Journal {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// What is confirmed the destination has; with a journal on disk only the end tells, when nothing
    /// is missing there.
    fn held_by_sinks<T>(self, seen: Vec<Seen<T>>) -> Vec<Seen<T>> {
        match self {
            Self::Memory => seen,
            Self::Disk => Vec::new(),
        }
    }

    const fn section(self) -> &'static str {
        match self {
            Self::Memory => "",
            Self::Disk => {
                "[journal]\npath = \"journal\"\nsegment = \"1MiB\"\nreplay_bytes = \"0B\"\n"
            }
        }
    }
}

/// Runs the workload, kills the program `kills` times, and lets it end. `held` looks at the
/// destination.
fn torment<T>(
    (name, journal): (&str, Journal),
    seed: u64,
    sink: &str,
    held: impl Fn() -> Result<T>,
) -> Result<(Vec<Seen<T>>, Ledger)> {
    let name = &format!("{name}_{}", journal.name());
    let setup = format!("{LEDGER};\ncreate publication walgate for table ledger;");
    let mut bed = Bed::shared(PgVersion::V17, name, &setup)?;
    journal.section().clone_into(&mut bed.more);
    bed.configure(&format!("[sinks.out]\n{sink}\n"))?;
    // The slot is there before the first change.
    bed.begin()?;
    let workload = Workload::start(&bed.url, seed, 3, Duration::from_millis(8));
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = Vec::new();
    for _ in 0..kills() {
        let program = bed.start()?;
        // The moment is random, not awaited: from before it has connected to the midst of delivery.
        thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
        program.signal("KILL").ok();
        let ended = program.wait()?;
        ensure!(
            ended.status.code().is_none_or(|code| code == 0),
            "it failed: {}",
            ended.stderr
        );
        quiet(&ended.stderr, KNOWN)?;
        seen.push(Seen {
            confirmed: bed.confirmed()?,
            held: held()?,
        });
    }
    let committed = workload.stop()?;
    ensure!(
        committed > kills() as u64,
        "the workload was alive: {committed} transactions"
    );
    bed.catch_up(KNOWN)?;
    Ok((seen, ledger(&mut bed.admin()?)?))
}

fn into_a_file(journal: Journal, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("events.ndjson");
    let sink = format!("type = \"file\"\npath = \"{}\"", path.display());
    let lines = || {
        let text = if path.exists() {
            std::fs::read_to_string(&path)?
        } else {
            String::new()
        };
        // A torn last line does not count.
        Ok(text.matches('\n').count())
    };
    let (seen, table) = torment(("kill_file", journal), seed, &sink, lines)?;
    let text = std::fs::read_to_string(&path)?;
    let events: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let ids: Vec<_> = events.iter().map(|event| event["id"].to_string()).collect();
    ensure!(
        ids.is_sorted_by(|a, b| a < b),
        "a file repeats nothing and keeps the order"
    );
    ensure!(
        replay(&events)? == table,
        "the fold of the events is the table"
    );
    for Seen { confirmed, held } in journal.held_by_sinks(seen) {
        let due = events
            .iter()
            .map(commit_lsn)
            .take_while(|lsn| lsn.as_ref().is_ok_and(|lsn| *lsn < confirmed));
        let due = due.count();
        ensure!(
            due <= held,
            "{confirmed:X} was confirmed with {held} of {due} events in the file"
        );
    }
    Ok(())
}

fn into_kafka(journal: Journal, seed: u64) -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let topic = format!("kill-{}-{seed}", journal.name());
    let sink = format!(
        "type = \"kafka\"\nbrokers = [\"{bootstrap}\"]\ntopic = \"{topic}\"\ntombstones = false\n\
         create_topics = {{ enabled = true, partitions = 3, replication_factor = 1 }}"
    );
    let held = || Ok(ends(&bootstrap, &topic).unwrap_or_else(|_| vec![0; 3]));
    let (seen, table) = torment(("kill_kafka", journal), seed, &sink, held)?;
    let mut partitions = Vec::new();
    for records in records(&bootstrap, &topic)? {
        let values = records.iter().filter_map(|record| record.value.as_deref());
        partitions.push(
            values
                .map(serde_json::from_str)
                .collect::<Result<Vec<Value>, _>>()?,
        );
    }
    let mut folded = Ledger::new();
    for events in &partitions {
        let unique = without_repeats(events)?;
        folded.extend(replay(unique.iter().copied())?);
    }
    ensure!(folded == table, "the fold of the events is the table");
    for Seen { confirmed, held } in journal.held_by_sinks(seen) {
        for (events, held) in partitions.iter().zip(&held) {
            let held = events.iter().take(usize::try_from(*held)?);
            let held: BTreeSet<_> = held.map(|event| event["id"].to_string()).collect();
            for event in events {
                let due = commit_lsn(event)? < confirmed;
                ensure!(
                    !due || held.contains(&event["id"].to_string()),
                    "{confirmed:X} was confirmed without {event}"
                );
            }
        }
    }
    Ok(())
}

/// The events of a partition without the repeats, which must be whole transactions, in order, and
/// the same to the byte.
fn without_repeats(events: &[Value]) -> Result<Vec<&Value>> {
    let mut unique: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut first_of: BTreeMap<u64, &str> = BTreeMap::new();
    let mut last = "";
    for event in events {
        let id = event["id"].as_str().context("an id")?;
        let lsn = commit_lsn(event)?;
        if let Some(known) = unique.get(id) {
            ensure!(*known == event, "{id} was repeated with another content");
        }
        let first = *first_of.entry(lsn).or_insert(id);
        ensure!(
            id > last || id == first,
            "a repeat begins in the midst of a transaction: {id} behind {last}"
        );
        if unique
            .last_key_value()
            .is_some_and(|(highest, _)| id < *highest)
        {
            ensure!(
                unique.contains_key(id),
                "{id} comes late, behind higher ids"
            );
        }
        unique.insert(id, event);
        last = id;
    }
    Ok(unique.into_values().collect())
}

fn run(torment: fn(Journal, u64) -> Result<()>, journal: Journal) {
    let seed = seed();
    torment(journal, seed).unwrap_or_else(|error| panic!("WALGATE_TEST_SEED={seed}: {error:#}"));
}

#[test]
fn kill_9_into_a_file() {
    run(into_a_file, Journal::Memory);
}

#[test]
fn kill_9_into_a_file_with_a_journal_on_disk() {
    run(into_a_file, Journal::Disk);
}

#[test]
fn kill_9_into_kafka() {
    run(into_kafka, Journal::Memory);
}

#[test]
fn kill_9_into_kafka_with_a_journal_on_disk() {
    run(into_kafka, Journal::Disk);
}
