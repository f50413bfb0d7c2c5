//! A workload whose every change can be missed: rows with versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::Value;

use crate::session;

/// The table. Every change of a row raises its version by one, also across a delete and a later
/// insert of the same id, so a missing, repeated or swapped change shows.
pub const LEDGER: &str = "create table ledger (
    id int primary key, version int not null, writer int not null, note text not null)";

/// Each writer has ids of its own, so that it knows their versions.
const IDS_OF_A_WRITER: u32 = 200;

/// Writers that change `ledger` until they are told to stop.
pub struct Workload {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Result<()>>>,
}

impl Workload {
    /// Starts `writers` of them with a seed. Between transactions each waits up to `pause`.
    pub fn start(url: &str, seed: u64, writers: u32, pause: Duration) -> Self {
        Self::of_size(url, seed, writers, pause, false)
    }

    /// The same with many large transactions, full of savepoints that are rolled back.
    pub fn heavy(url: &str, seed: u64, writers: u32, pause: Duration) -> Self {
        Self::of_size(url, seed, writers, pause, true)
    }

    fn of_size(url: &str, seed: u64, writers: u32, pause: Duration, heavy: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let spawn = |writer| {
            let (url, stop, committed) =
                (url.to_owned(), Arc::clone(&stop), Arc::clone(&committed));
            thread::spawn(move || {
                let mut client = session(&url)?;
                let random = StdRng::seed_from_u64(seed ^ (u64::from(writer) << 32));
                let mut writer = Writer {
                    writer,
                    random,
                    heavy,
                    rows: BTreeMap::new(),
                };
                while !stop.load(Ordering::Relaxed) {
                    writer.transaction(&mut client)?;
                    committed.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(pause.mul_f64(writer.random.random::<f64>()));
                }
                Ok(())
            })
        };
        let writers = (0..writers).map(spawn).collect();
        Self {
            stop,
            committed,
            writers,
        }
    }

    /// Transactions that were committed so far.
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Stops the writers.
    ///
    /// # Errors
    ///
    /// When one of them failed.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer
                .join()
                .map_err(|_| anyhow::anyhow!("a writer panicked"))??;
        }
        Ok(self.committed.load(Ordering::Relaxed))
    }
}

/// What a writer knows of a row: its last version, and whether it is there.
#[derive(Clone, Copy)]
struct Row {
    version: u32,
    there: bool,
}

struct Writer {
    writer: u32,
    random: StdRng,
    heavy: bool,
    rows: BTreeMap<u32, Row>,
}

impl Writer {
    /// One transaction: a few changes, now and then very many, now and then with a part that is
    /// rolled back, now and then rolled back as a whole.
    fn transaction(&mut self, client: &mut Client) -> Result<()> {
        let mut script = String::from("begin;");
        let before = self.rows.clone();
        let changes = if self.heavy && self.random.random_ratio(1, 4) {
            self.savepoints(&mut script);
            1500
        } else if self.random.random_ratio(1, 50) {
            1500
        } else {
            self.random.random_range(1..12)
        };
        for _ in 0..changes {
            self.change(&mut script);
        }
        if self.random.random_ratio(1, 5) {
            let kept = self.rows.clone();
            script.push_str("savepoint s;");
            for _ in 0..3 {
                self.change(&mut script);
            }
            script.push_str("rollback to s;");
            self.rows = kept;
        }
        if self.random.random_ratio(1, 20) {
            script.push_str("rollback");
            self.rows = before;
        } else {
            script.push_str("commit");
        }
        client
            .batch_execute(&script)
            .context("a transaction of the workload")
    }

    /// Parts that are kept and parts that are rolled back, some inside of others.
    fn savepoints(&mut self, script: &mut String) {
        for _ in 0..self.random.random_range(1..8) {
            let kept = self.rows.clone();
            script.push_str("savepoint outer_part;");
            for _ in 0..self.random.random_range(0..400) {
                self.change(script);
            }
            if self.random.random_ratio(1, 2) {
                let kept = self.rows.clone();
                script.push_str("savepoint inner_part;");
                for _ in 0..self.random.random_range(1..400) {
                    self.change(script);
                }
                script.push_str("rollback to inner_part;");
                self.rows = kept;
            }
            if self.random.random_ratio(1, 3) {
                script.push_str("rollback to outer_part;");
                self.rows = kept;
            }
        }
    }

    fn change(&mut self, script: &mut String) {
        let id = self.writer * IDS_OF_A_WRITER + self.random.next_u32() % IDS_OF_A_WRITER;
        let row = self.rows.entry(id).or_insert(Row {
            version: 0,
            there: false,
        });
        let note = "n".repeat((self.random.next_u32() % 40) as usize);
        if row.there && self.random.random_ratio(1, 4) {
            row.there = false;
            script.push_str(&format!("delete from ledger where id = {id};"));
            return;
        }
        row.version += 1;
        let Row { version, there } = *row;
        let writer = self.writer;
        script.push_str(&if there {
            format!("update ledger set version = {version}, note = '{note}' where id = {id};")
        } else {
            format!("insert into ledger values ({id}, {version}, {writer}, '{note}');")
        });
        row.there = true;
    }
}

/// The rows of `ledger` by id: version and note.
pub type Ledger = BTreeMap<i64, (i64, String)>;

/// The table as it is.
///
/// # Errors
///
/// When it can't be read.
pub fn ledger(client: &mut Client) -> Result<Ledger> {
    let rows = client.query("select id, version, note from ledger", &[])?;
    let row = |row: &postgres::Row| {
        (
            i64::from(row.get::<_, i32>(0)),
            (i64::from(row.get::<_, i32>(1)), row.get(2)),
        )
    };
    Ok(rows.iter().map(row).collect())
}

/// Applies events of `ledger`, each of which must be the next of its row, to an empty table.
///
/// # Errors
///
/// When a change is missing, repeated or out of order.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Value>) -> Result<Ledger> {
    let mut replay = Replay::default();
    for event in events {
        replay.apply(event)?;
    }
    Ok(replay.rows)
}

/// The table that events make, one by one.
#[derive(Debug, Default)]
pub struct Replay {
    /// The table as far as it is.
    pub rows: Ledger,
    versions: BTreeMap<i64, i64>,
}

impl Replay {
    /// Applies the next event.
    ///
    /// # Errors
    ///
    /// When it is not the next change of its row.
    pub fn apply(&mut self, event: &Value) -> Result<()> {
        let id = event["key"]["id"]
            .as_i64()
            .with_context(|| format!("no key: {event}"))?;
        let there = self.rows.contains_key(&id);
        match event["op"].as_str() {
            Some("delete") => {
                ensure!(there, "deletes a row that is not there: {event}");
                self.rows.remove(&id);
            }
            Some(op @ ("insert" | "update")) => {
                let version = event["after"]["version"].as_i64().context("a version")?;
                let last = self.versions.insert(id, version).unwrap_or(0);
                ensure!(
                    version == last + 1,
                    "version {version} follows {last}: {event}"
                );
                ensure!(
                    there == (op == "update"),
                    "{op} of a row that is there: {there}: {event}"
                );
                let note = event["after"]["note"]
                    .as_str()
                    .context("a note")?
                    .to_owned();
                self.rows.insert(id, (version, note));
            }
            other => anyhow::bail!("nobody does {other:?}: {event}"),
        }
        Ok(())
    }
}
