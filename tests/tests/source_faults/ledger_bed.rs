//! A bed with a ledger, whose file of events is compared with the table.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Bed, LEDGER, Ledger, Program, Replay, events, file_sink, ledger, lsn, replay};
use walgate_throwaway::{FaultProxy, PgVersion, Postgres};

/// The one line that an outage begins with.
pub(crate) const DOWN: &str = "replication is down";

/// A bed with the table `ledger`, and a file for its events.
pub(crate) struct LedgerBed(Bed);

impl Deref for LedgerBed {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.0
    }
}

impl DerefMut for LedgerBed {
    fn deref_mut(&mut self) -> &mut Bed {
        &mut self.0
    }
}

impl LedgerBed {
    /// On the server of that version that all tests share. The slot goes when this is dropped.
    pub(crate) fn shared(version: PgVersion, name: &str) -> Result<Self> {
        Ok(Self::into_file(Bed::shared(version, name, &setup())?))
    }

    /// On a server that the test breaks.
    pub(crate) fn on(server: &Postgres, name: &str) -> Result<Self> {
        Ok(Self::into_file(Bed::on(server, name, &setup())?))
    }

    fn into_file(mut bed: Bed) -> Self {
        bed.sinks = file_sink(&bed.path("events"));
        Self(bed)
    }

    /// Has the program go through a proxy.
    pub(crate) fn through(&mut self, proxy: &FaultProxy) -> Result<()> {
        let (head, database) = self.direct.rsplit_once('/').context("a database")?;
        let (head, _) = head.rsplit_once(':').context("a port")?;
        self.url = format!("{head}:{}/{database}", proxy.port());
        Ok(())
    }

    /// Has the program write to its standard output, where repeats show.
    pub(crate) fn print_events(&mut self) {
        self.sinks = "[sinks.out]\ntype = \"stdout\"\n".to_owned();
    }

    /// Commits rows with these ids in one transaction.
    pub(crate) fn insert(&self, ids: std::ops::RangeInclusive<i32>) -> Result<()> {
        let (first, last) = ids.into_inner();
        self.sql(&format!(
            "insert into ledger select id, 1, 0, 'n' || id from generate_series({first}, {last}) id;"
        ))
    }

    /// The events in the file.
    pub(crate) fn events(&self) -> Result<Vec<Value>> {
        events(&self.path("events"))
    }

    /// Waits until the file holds everything that is committed now, each change once and in order.
    pub(crate) fn until_complete(&self, program: &mut Program) -> Result<()> {
        let table = ledger(&mut self.admin()?)?;
        let mut file = Folding::new(self.path("events"));
        let mut broken = Ok(());
        program.wait_until("everything in the file", |_| {
            thread::sleep(Duration::from_millis(10));
            match file.read_on() {
                Ok(folded) => *folded == table,
                Err(error) => {
                    broken = Err(error);
                    true
                }
            }
        })?;
        broken
    }

    /// Asserts that the file holds everything, each change once and in order.
    pub(crate) fn complete(&self) -> Result<()> {
        let mut file = Folding::new(self.path("events"));
        let table = ledger(&mut self.admin()?)?;
        ensure!(
            *file.read_on()? == table,
            "the fold of the file is not the table"
        );
        Ok(())
    }

    /// A copy of the state folder, and back.
    pub(crate) fn copy_state(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        std::fs::remove_dir_all(&to).ok();
        std::fs::create_dir(&to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    }

    /// `confirmed` of the checkpoint.
    pub(crate) fn checkpoint(&self) -> Result<u64> {
        let text = std::fs::read_to_string(self.path("state").join("checkpoint"))?;
        let body = text.lines().nth(1).context("a second line")?;
        let body: Value = serde_json::from_str(body)?;
        lsn(body["confirmed"].as_str().context("a position")?)
    }
}

fn setup() -> String {
    format!("{LEDGER};\ncreate publication walgate for table ledger;")
}

/// A file of events, each of which must come once and in order, and the rows that they make. What
/// was read is not read again: the file may be large.
struct Folding {
    path: PathBuf,
    /// Where the last whole line ends.
    end: u64,
    last: String,
    replay: Replay,
}

impl Folding {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            end: 0,
            last: String::new(),
            replay: Replay::default(),
        }
    }

    /// The rows, with what has been written by now.
    fn read_on(&mut self) -> Result<&Ledger> {
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(&self.replay.rows);
        };
        file.seek(SeekFrom::Start(self.end))?;
        let (mut file, mut line) = (BufReader::new(file), String::new());
        while file.read_line(&mut line)? > 0 && line.ends_with('\n') {
            let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            let id = event["id"].as_str().unwrap_or_default();
            ensure!(
                *id > *self.last,
                "something is repeated or out of order: {event}"
            );
            id.clone_into(&mut self.last);
            if event["op"] != "begin" && event["op"] != "commit" {
                self.replay.apply(&event)?;
            }
            self.end += u64::try_from(line.len())?;
            line.clear();
        }
        Ok(&self.replay.rows)
    }
}

/// The rows that events make, each of which must come once and in order.
pub(crate) fn folded(events: &[Value]) -> Result<Ledger> {
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str()).collect();
    ensure!(
        ids.is_sorted_by(|a, b| a < b),
        "something is repeated or out of order"
    );
    replay(
        events
            .iter()
            .filter(|event| event["op"] != "begin" && event["op"] != "commit"),
    )
}

/// The rows of events that may be repeated, but for the repeats, which must be the same to the byte.
pub(crate) fn without_repeats(events: &[Value]) -> Result<Vec<Value>> {
    let mut unique: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in events {
        let id = event["id"].as_str().context("an id")?;
        let first = *unique.entry(id).or_insert(event);
        ensure!(first == event, "{id} was repeated with another content");
    }
    Ok(unique.into_values().cloned().collect())
}
