//! The program is killed again and again at random moments under load, and nothing is lost.
//!
//! A failure prints its seed; `WALGATE_TEST_SEED=<seed> cargo test -p walgate-tests kill_` runs the
//! same workload and the same moments again.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use walgate_tests::{
    AFTER_A_KILL, Bed, LEDGER, Ledger, Replay, Workload, each_record, ends, journal_on_disk,
    ledger, long, place, quiet, seed,
};
use walgate_throwaway::{PgVersion, shared_kafka};

/// Kills of `make test`, and of `make test-all`.
const KILLS: usize = 40;
const KILLS_LONG: usize = 500;

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
    /// The same, with large transactions that come while they run and go through spools on disk.
    Streamed,
}

impl Journal {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Streamed => "streamed",
        }
    }

    /// What is confirmed the destination has; with a journal on disk only the end tells, when nothing
    /// is missing there.
    fn held_by_sinks<T>(self, seen: Vec<Seen<T>>) -> Vec<Seen<T>> {
        match self {
            Self::Memory => seen,
            Self::Disk | Self::Streamed => Vec::new(),
        }
    }

    fn section(self) -> String {
        match self {
            Self::Memory => String::new(),
            Self::Disk => journal_on_disk("replay_bytes = \"0B\""),
            Self::Streamed => journal_on_disk(
                "replay_bytes = \"0B\"\nstreaming = true\nspool_memory = \"64KiB\"\n\
                 compression = \"zstd\"\nencryption_key_command = [\"printf\", \"%064d\", \"5\"]",
            ),
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
    bed.more = journal.section();
    if journal == Journal::Streamed {
        "logical_decoding_work_mem = \"64KiB\"".clone_into(&mut bed.source);
    }
    bed.configure(&format!("[sinks.out]\n{sink}\n"))?;
    // The slot is there before the first change.
    bed.begin()?;
    let pause = Duration::from_millis(8);
    let workload = match journal {
        Journal::Streamed => Workload::heavy(&bed.url, seed, 3, pause),
        Journal::Memory | Journal::Disk => Workload::start(&bed.url, seed, 3, pause),
    };
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
        quiet(&ended.stderr, AFTER_A_KILL)?;
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
    bed.catch_up(AFTER_A_KILL)?;
    Ok((seen, ledger(&mut bed.admin()?)?))
}

fn into_a_file(journal: Journal, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("events.ndjson");
    let sink = format!("type = \"file\"\npath = \"{}\"", path.display());
    let counted = Mutex::new((0, 0));
    let lines = || {
        let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted = whole_lines(&path, *counted)?;
        Ok(counted.1)
    };
    let (seen, table) = torment(("kill_file", journal), seed, &sink, lines)?;
    let (mut replay, mut places) = (Replay::default(), Vec::new());
    for line in BufReader::new(File::open(&path)?).lines() {
        let event: Value = serde_json::from_str(&line?)?;
        places.push(place(&event)?);
        replay.apply(&event)?;
    }
    ensure!(
        places.is_sorted_by(|a, b| a < b),
        "a file repeats nothing and keeps the order"
    );
    ensure!(replay.rows == table, "the fold of the events is the table");
    for Seen { confirmed, held } in journal.held_by_sinks(seen) {
        let due = places.partition_point(|(commit, _)| *commit < confirmed);
        ensure!(
            due <= held,
            "{confirmed:X} was confirmed with {held} of {due} events in the file"
        );
    }
    Ok(())
}

/// How many whole lines a file has, and where they end. Those before `known` are not counted again;
/// a torn last line does not count.
fn whole_lines(path: &Path, known: (u64, usize)) -> Result<(u64, usize)> {
    let (mut end, mut count) = known;
    let Ok(mut file) = File::open(path) else {
        return Ok(known);
    };
    file.seek(SeekFrom::Start(end))?;
    let (mut file, mut line) = (BufReader::new(file), Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        end += u64::try_from(line.len())?;
        count += 1;
        line.clear();
    }
    Ok((end, count))
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
    let mut partitions: Vec<Partition> = Vec::new();
    partitions.resize_with(3, Partition::default);
    each_record(&bootstrap, &topic, |partition, record| {
        let value = record.value.context("a value")?;
        partitions[partition].take(&value)
    })?;
    let mut folded = Ledger::new();
    for partition in &partitions {
        folded.extend(partition.replay.rows.clone());
    }
    ensure!(folded == table, "the fold of the events is the table");
    for Seen { confirmed, held } in journal.held_by_sinks(seen) {
        for (partition, held) in partitions.iter().zip(&held) {
            partition.check(confirmed, *held)?;
        }
    }
    Ok(())
}

/// What a partition holds, record by record. Events may be repeated: as whole transactions, in
/// order, and the same to the byte.
#[derive(Default)]
struct Partition {
    replay: Replay,
    /// How many records there were.
    records: i64,
    /// The place of the record before.
    last: (u64, u32),
    /// The events without their repeats, in order.
    unique: Vec<Unique>,
}

/// An event, where it came first.
struct Unique {
    place: (u64, u32),
    /// Of its bytes.
    hash: u64,
    offset: i64,
}

impl Partition {
    fn take(&mut self, text: &str) -> Result<()> {
        let event: Value = serde_json::from_str(text)?;
        let place = place(&event)?;
        let offset = self.records;
        self.records += 1;
        let of_transaction = self.unique.partition_point(|u| u.place.0 < place.0);
        let first = self.unique.get(of_transaction).map(|u| u.place);
        ensure!(
            place > self.last || first.is_none_or(|first| first == place),
            "a repeat begins in the midst of a transaction: {event} behind {:X?}",
            self.last
        );
        self.last = place;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        match self.unique.binary_search_by_key(&place, |u| u.place) {
            Ok(known) => ensure!(
                self.unique[known].hash == hash,
                "repeated with another content: {event}"
            ),
            Err(at) => {
                ensure!(
                    at == self.unique.len(),
                    "comes late, behind higher ids: {event}"
                );
                self.unique.push(Unique {
                    place,
                    hash,
                    offset,
                });
                self.replay.apply(&event)?;
            }
        }
        Ok(())
    }

    /// Everything before `confirmed` was among the first `held` records.
    fn check(&self, confirmed: u64, held: i64) -> Result<()> {
        let due = self.unique.partition_point(|u| u.place.0 < confirmed);
        let missing = self.unique[..due].last().filter(|u| u.offset >= held);
        if let Some(Unique { place, offset, .. }) = missing {
            bail!(
                "{confirmed:X} was confirmed with {held} records, without {place:X?} at {offset}"
            );
        }
        Ok(())
    }
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
fn kill_9_into_a_file_with_streamed_transactions() {
    run(into_a_file, Journal::Streamed);
}

#[test]
fn kill_9_into_kafka() {
    run(into_kafka, Journal::Memory);
}

#[test]
fn kill_9_into_kafka_with_a_journal_on_disk() {
    run(into_kafka, Journal::Disk);
}
