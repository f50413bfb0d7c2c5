//! The program is killed again and again at random moments under load, and nothing is lost.
//!
//! A failure prints its seed; `WALGATE_TEST_SEED=<seed> cargo test -p walgate-tests kill_` runs the
//! same workload and the same moments again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use walgate_tests::{
    LEDGER, Program, Workload, alarms, database, ends, ledger, long, records, replay, seed, session,
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

/// Runs the workload, kills the program `kills` times, and lets it end. `held` looks at the
/// destination.
fn torment<T>(
    name: &str,
    seed: u64,
    sink: &str,
    held: impl Fn() -> Result<T>,
) -> Result<(Vec<Seen<T>>, walgate_tests::Ledger)> {
    let url = database(PgVersion::V17, name)?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("walgate.toml");
    std::fs::write(&config, configuration(name, &url, folder.path(), sink))?;
    let mut admin = session(&url)?;
    admin.batch_execute(LEDGER)?;
    admin.batch_execute("create publication walgate for table ledger")?;
    // The slot is there before the first change.
    let until_now = || {
        let args = ["run", "--until", "now", "-c"].map(OsString::from);
        Program::start(args.into_iter().chain([config.clone().into_os_string()]))?.wait()
    };
    let first = until_now()?;
    ensure!(
        first.status.success(),
        "the first run ended with {}: {}",
        first.status,
        first.stderr
    );
    let workload = Workload::start(&url, seed, 3, Duration::from_millis(8));
    let mut random = StdRng::seed_from_u64(seed);
    let mut seen = Vec::new();
    for _ in 0..kills() {
        let program = Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])?;
        // The moment is random, not awaited: from before it has connected to the midst of delivery.
        thread::sleep(Duration::from_micros(random.random_range(0..400_000)));
        program.signal("KILL").ok();
        let ended = program.wait()?;
        ensure!(
            ended.status.code().is_none_or(|code| code == 0),
            "it failed: {}",
            ended.stderr
        );
        let alarms = alarms(&ended.stderr, KNOWN);
        ensure!(alarms.is_empty(), "unexpected in the log: {alarms:#?}");
        if let Some(confirmed) = confirmed(&mut admin, name)? {
            seen.push(Seen {
                confirmed,
                held: held()?,
            });
        }
    }
    let committed = workload.stop()?;
    ensure!(
        committed > kills() as u64,
        "the workload was alive: {committed} transactions"
    );
    let ended = until_now()?;
    ensure!(
        ended.status.success(),
        "the last run ended with {}: {}",
        ended.status,
        ended.stderr
    );
    Ok((seen, ledger(&mut admin)?))
}

fn configuration(name: &str, url: &str, folder: &Path, sink: &str) -> String {
    format!(
        "[source]\nurl = \"{url}\"\nslot = \"{name}\"\ncreate_slot = true\n\
         publications = [\"walgate\"]\n\n[state]\ndir = \"{}\"\n\n[sinks.out]\n{sink}\n",
        folder.join("state").display()
    )
}

/// `confirmed_flush_lsn` of a slot, once there is one.
fn confirmed(admin: &mut postgres::Client, slot: &str) -> Result<Option<u64>> {
    let query = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where slot_name = $1";
    let row = admin.query_opt(query, &[&slot])?;
    row.map(|row| u64::try_from(row.get::<_, i64>(0)).context("an lsn"))
        .transpose()
}

fn lsn(event: &Value) -> Result<u64> {
    let id = event["id"]
        .as_str()
        .with_context(|| format!("an id: {event}"))?;
    Ok(u64::from_str_radix(&id[..16], 16)?)
}

fn into_a_file(seed: u64) -> Result<()> {
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
    let (seen, table) = torment("kill_file", seed, &sink, lines)?;
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
    for Seen { confirmed, held } in seen {
        let due = events
            .iter()
            .map(lsn)
            .take_while(|lsn| lsn.as_ref().is_ok_and(|lsn| *lsn < confirmed));
        let due = due.count();
        ensure!(
            due <= held,
            "{confirmed:X} was confirmed with {held} of {due} events in the file"
        );
    }
    Ok(())
}

fn into_kafka(seed: u64) -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let topic = format!("kill-{seed}");
    let sink = format!(
        "type = \"kafka\"\nbrokers = [\"{bootstrap}\"]\ntopic = \"{topic}\"\ntombstones = false\n\
         create_topics = {{ enabled = true, partitions = 3, replication_factor = 1 }}"
    );
    let held = || Ok(ends(&bootstrap, &topic).unwrap_or_else(|_| vec![0; 3]));
    let (seen, table) = torment("kill_kafka", seed, &sink, held)?;
    let mut partitions = Vec::new();
    for records in records(&bootstrap, &topic)? {
        let values = records.iter().filter_map(|record| record.value.as_deref());
        partitions.push(
            values
                .map(serde_json::from_str)
                .collect::<Result<Vec<Value>, _>>()?,
        );
    }
    let mut folded = walgate_tests::Ledger::new();
    for events in &partitions {
        let unique = without_repeats(events)?;
        folded.extend(replay(unique.iter().copied())?);
    }
    ensure!(folded == table, "the fold of the events is the table");
    for Seen { confirmed, held } in seen {
        for (events, held) in partitions.iter().zip(&held) {
            let held = events.iter().take(usize::try_from(*held)?);
            let held: BTreeSet<_> = held.map(|event| event["id"].to_string()).collect();
            for event in events {
                let due = lsn(event)? < confirmed;
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
        let lsn = lsn(event)?;
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

#[test]
fn kill_9_into_a_file() {
    let seed = seed();
    into_a_file(seed).unwrap_or_else(|error| panic!("WALGATE_TEST_SEED={seed}: {error:#}"));
}

#[test]
fn kill_9_into_kafka() {
    let seed = seed();
    into_kafka(seed).unwrap_or_else(|error| panic!("WALGATE_TEST_SEED={seed}: {error:#}"));
}
