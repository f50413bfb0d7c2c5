//! A database with a ledger, a slot and a state folder of its own, and the service on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postgres::Client;
use serde_json::Value;
use tempfile::TempDir;
use walgate_tests::{
    Ended, LEDGER, Ledger, Program, alarms, database, ledger, replay, run_script, session,
};
use walgate_throwaway::{FaultProxy, PgVersion, Postgres};

/// Only bounds a test that hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// The warning that comes with a new slot.
pub(crate) const CREATED: &str = "created slot";
/// The one line that an outage begins with.
pub(crate) const DOWN: &str = "replication is down";

/// A database and all that a `walgate run` on it needs.
pub(crate) struct Bed {
    /// Name of the database and of the slot.
    pub(crate) name: String,
    /// How the test reaches the database.
    pub(crate) direct: String,
    /// How the program does.
    pub(crate) url: String,
    /// More lines of `[source]`.
    pub(crate) source: String,
    /// The sections of the sinks.
    pub(crate) sinks: String,
    /// Sections other than source, state and sinks.
    pub(crate) more: String,
    folder: TempDir,
    shared: bool,
}

impl Bed {
    /// On the server of that version that all tests share. The slot goes when this is dropped.
    pub(crate) fn shared(version: PgVersion, name: &str) -> Result<Self> {
        let url = database(version, name)?;
        Self::at(name, url, true)
    }

    /// On a server that the test breaks.
    pub(crate) fn on(server: &Postgres, name: &str) -> Result<Self> {
        server.sql(&format!("create database {name}"))?;
        Self::at(name, server.url_of("postgres", name), false)
    }

    fn at(name: &str, url: String, shared: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sinks = format!(
            "[sinks.file]\ntype = \"file\"\npath = \"{}\"\n",
            folder.path().join("events").display()
        );
        let bed = Self {
            name: name.to_owned(),
            direct: url.clone(),
            url,
            source: String::new(),
            sinks,
            more: String::new(),
            folder,
            shared,
        };
        bed.sql(&format!(
            "{LEDGER};\ncreate publication walgate for table ledger;"
        ))?;
        Ok(bed)
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, and gives its path.
    pub(crate) fn configure(&self) -> Result<PathBuf> {
        self.configure_as("walgate.toml", "state")
    }

    /// Writes a configuration with a state folder of that name.
    pub(crate) fn configure_as(&self, file: &str, state: &str) -> Result<PathBuf> {
        let path = self.path(file);
        let text = format!(
            "[source]\nurl = \"{}\"\nslot = \"{}\"\npublications = [\"walgate\"]\n{}\n\
             [state]\ndir = \"{state}\"\n\n{}\n{}\n",
            self.url, self.name, self.source, self.more, self.sinks
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the service.
    pub(crate) fn start(&self) -> Result<Program> {
        let config = self.configure()?;
        Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
    }

    /// Starts the service and waits until it streams.
    pub(crate) fn serve(&self) -> Result<Program> {
        let mut program = self.start()?;
        program.wait_for_log("streaming")?;
        Ok(program)
    }

    /// Runs it until everything that is committed is delivered, or it fails.
    pub(crate) fn catch_up(&self) -> Result<Ended> {
        let config = self.configure()?;
        let args = ["run", "--until", "now", "-c"].map(AsRef::as_ref);
        Program::start(args.into_iter().chain([config.as_os_str()]))?.wait()
    }

    /// Makes the slot: what is committed from now on is delivered.
    pub(crate) fn begin(&self) -> Result<()> {
        clean(&self.catch_up()?, &[CREATED])
    }

    pub(crate) fn admin(&self) -> Result<Client> {
        session(&self.direct)
    }

    pub(crate) fn sql(&self, script: &str) -> Result<()> {
        run_script(&mut self.admin()?, script)
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
        let mut broken = Ok(());
        program.wait_until("everything in the file", |_| {
            thread::sleep(Duration::from_millis(10));
            match self.events().and_then(|events| folded(&events)) {
                Ok(folded) => folded == table,
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
        let folded = folded(&self.events()?)?;
        let table = ledger(&mut self.admin()?)?;
        ensure!(folded == table, "the fold of the file is not the table");
        Ok(())
    }

    /// The row of the slot.
    pub(crate) fn slot(&self) -> Result<Option<SlotRow>> {
        slot(&mut self.admin()?, &self.name)
    }

    /// What the slot has confirmed.
    pub(crate) fn confirmed(&self) -> Result<u64> {
        let slot = self.slot()?.context("there is no slot")?;
        slot.confirmed.context("the slot has confirmed nothing yet")
    }

    /// The end of the log that is on disk.
    pub(crate) fn head(&self) -> Result<u64> {
        let query = "select (pg_current_wal_flush_lsn() - '0/0')::bigint";
        let row = self.admin()?.query_one(query, &[])?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }

    /// Waits until everything that is on disk now is confirmed.
    pub(crate) fn until_confirmed(&self, program: &mut Program) -> Result<()> {
        let head = self.head()?;
        self.until_slot(program, "everything is confirmed", |slot| {
            slot.confirmed.is_some_and(|confirmed| confirmed >= head)
        })
    }

    /// Waits until `condition` holds of the slot.
    pub(crate) fn until_slot(
        &self,
        program: &mut Program,
        what: &str,
        mut condition: impl FnMut(&SlotRow) -> bool,
    ) -> Result<()> {
        let mut admin = self.admin()?;
        let mut failed = Ok(());
        let waited = program.wait_until(what, |_| match slot(&mut admin, &self.name) {
            Ok(row) => row.is_some_and(|row| condition(&row)),
            Err(error) => {
                failed = Err(error);
                true
            }
        });
        failed.and(waited)
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

    fn drop_slot(&self) -> Result<()> {
        let mut admin = self.admin()?;
        let end = "select pg_terminate_backend(active_pid) from pg_replication_slots \
                   where slot_name = $1 and active";
        let drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
                    where slot_name = $1 and not active";
        until("the slot is dropped", || {
            admin.execute(end, &[&self.name])?;
            let _in_use = admin.execute(drop, &[&self.name]);
            Ok(slot(&mut admin, &self.name)?.is_none())
        })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if self.shared {
            // The test's own outcome counts; a slot that stays is only one less for the others.
            let _dropped = self.drop_slot();
        }
    }
}

/// What is looked at in `pg_replication_slots`.
pub(crate) struct SlotRow {
    pub(crate) confirmed: Option<u64>,
    pub(crate) walsender: Option<i32>,
    pub(crate) wal_status: Option<String>,
}

/// The row of a slot, if it is there.
pub(crate) fn slot(admin: &mut Client, name: &str) -> Result<Option<SlotRow>> {
    let query = "select (confirmed_flush_lsn - '0/0')::bigint, active_pid, wal_status \
                 from pg_replication_slots where slot_name = $1";
    let Some(row) = admin.query_opt(query, &[&name])? else {
        return Ok(None);
    };
    Ok(Some(SlotRow {
        confirmed: row
            .get::<_, Option<i64>>(0)
            .map(u64::try_from)
            .transpose()?,
        walsender: row.get(1),
        wal_status: row.get(2),
    }))
}

/// The number of a position as the server prints it.
pub(crate) fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').with_context(|| text.to_owned())?;
    Ok((u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?)
}

/// The position of a commit, from the id of one of its events.
pub(crate) fn commit_lsn(event: &Value) -> Result<u64> {
    let id = event["id"]
        .as_str()
        .with_context(|| format!("an id: {event}"))?;
    Ok(u64::from_str_radix(id.get(2..16).context("digits")?, 16)?)
}

/// The whole lines of a file of events; none when it is not there yet.
pub(crate) fn events(path: &Path) -> Result<Vec<Value>> {
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
pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Value>> {
    let event = |line: &str| serde_json::from_str(line).with_context(|| line.to_owned());
    lines.into_iter().map(event).collect()
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

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition().with_context(|| format!("until {what}"))? {
        if Instant::now() > deadline {
            bail!("waited in vain until {what}");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Asserts that the log holds no WARN and ERROR, but for `known`.
pub(crate) fn quiet(log: &str, known: &[&str]) -> Result<()> {
    let alarms = alarms(log, known);
    ensure!(alarms.is_empty(), "unexpected in the log: {alarms:#?}");
    Ok(())
}

/// Asserts that it ended with 0 and said nothing but `known`.
pub(crate) fn clean(ended: &Ended, known: &[&str]) -> Result<()> {
    let (status, log) = (ended.status, &ended.stderr);
    ensure!(status.code() == Some(0), "ended with {status}: {log}");
    quiet(log, known)
}

/// Ends the service in order.
pub(crate) fn stop(program: Program, known: &[&str]) -> Result<Ended> {
    program.signal("TERM")?;
    let ended = program.wait()?;
    clean(&ended, known)?;
    Ok(ended)
}

/// Asserts that it ended with `code`, that its error says all of `texts` and has a hint, and that
/// nothing else alarmed but `known`.
pub(crate) fn refused(ended: &Ended, code: i32, texts: &[&str], known: &[&str]) -> Result<()> {
    let (status, log) = (ended.status, &ended.stderr);
    ensure!(
        status.code() == Some(code),
        "{status} instead of {code}: {log}"
    );
    for text in texts.iter().chain(&["\nhint: "]) {
        ensure!(
            format!("\n{log}").contains(text),
            "{text:?} is missing: {log}"
        );
    }
    let known: Vec<_> = known.iter().copied().chain(["error: "]).collect();
    quiet(log, &known)
}
