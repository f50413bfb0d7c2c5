//! A database with a slot, a publication and a state folder of its own, and the service on it.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postgres::Client;
use serde_json::Value;
use tempfile::TempDir;
use walgate_tests::{Ended, Program, alarms, database, run_script, session};
use walgate_throwaway::PgVersion;

/// Only bounds a test that hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the service says when it has made the slot.
pub(crate) const CREATED: &str = "created slot";

/// A database and all that a `walgate run` on it needs. Its slot goes when this is dropped: the
/// servers are shared.
pub(crate) struct Bed {
    /// Name of the database and of the slot.
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    pub(crate) admin: Client,
    /// More lines of `[source]`.
    pub(crate) source: String,
    /// Lines before `[source]`, and other sections than those of source, state and sinks.
    pub(crate) top: String,
}

impl Bed {
    /// A new database with the tables of `setup`, which makes the publication `walgate` too.
    pub(crate) fn new(name: &str, setup: &str) -> Result<Self> {
        Self::at(database(PgVersion::V17, name)?, name, setup)
    }

    /// As [`Self::new`], on a database that is there.
    pub(crate) fn at(url: String, name: &str, setup: &str) -> Result<Self> {
        let mut admin = session(&url)?;
        run_script(&mut admin, setup)?;
        Ok(Self {
            name: name.to_owned(),
            url,
            folder: tempfile::tempdir()?,
            admin,
            source: String::new(),
            top: String::new(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration with these sinks.
    pub(crate) fn configure(&self, sinks: &str) -> Result<PathBuf> {
        let path = self.path("walgate.toml");
        let text = format!(
            "{}\n[source]\nurl = \"{}\"\nslot = \"{}\"\ncreate_slot = true\n\
             publications = [\"walgate\"]\n{}\n[state]\ndir = \"state\"\n\n{sinks}\n",
            self.top, self.url, self.name, self.source
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the service with what [`Self::configure`] has written last.
    pub(crate) fn start(&self) -> Result<Program> {
        let config = self.path("walgate.toml");
        Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
    }

    /// Starts the service and waits until it streams.
    pub(crate) fn serve(&self) -> Result<Program> {
        let mut program = self.start()?;
        program.wait_for_log("streaming")?;
        Ok(program)
    }

    /// Delivers everything that is committed, quietly but for `known`.
    pub(crate) fn catch_up(&self, known: &[&str]) -> Result<Ended> {
        let config = self.path("walgate.toml");
        let args = ["run", "--until", "now", "-c"].map(AsRef::as_ref);
        let ended = Program::start(args.into_iter().chain([config.as_os_str()]))?.wait()?;
        ensure!(
            ended.status.success(),
            "ended with {}: {}",
            ended.status,
            ended.stderr
        );
        quiet(&ended.stderr, known)?;
        Ok(ended)
    }

    /// Makes the slot: what is committed from now on is delivered.
    pub(crate) fn begin(&self) -> Result<()> {
        self.catch_up(&[CREATED]).map(drop)
    }

    /// As [`Self::begin`], with a file of its own instead of the configured sinks.
    pub(crate) fn begin_elsewhere(&self) -> Result<()> {
        let config = std::fs::read_to_string(self.path("walgate.toml"))?;
        self.configure(&file_sink(&self.path("elsewhere.ndjson")))?;
        self.begin()?;
        Ok(std::fs::write(self.path("walgate.toml"), config)?)
    }

    pub(crate) fn sql(&mut self, script: &str) -> Result<()> {
        run_script(&mut self.admin, script)
    }

    /// `confirmed_flush_lsn` of the slot, once there is one.
    pub(crate) fn confirmed(&mut self) -> Result<Option<u64>> {
        let query = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots \
                     where slot_name = $1";
        let row = self.admin.query_opt(query, &[&self.name])?;
        row.map(|row| u64::try_from(row.get::<_, i64>(0)).context("an lsn"))
            .transpose()
    }

    /// Whether the slot is there.
    pub(crate) fn has_slot(&mut self) -> Result<bool> {
        Ok(self.confirmed()?.is_some())
    }

    /// End of the log.
    pub(crate) fn head(&mut self) -> Result<u64> {
        let query = "select (pg_current_wal_lsn() - '0/0')::bigint";
        Ok(u64::try_from(
            self.admin.query_one(query, &[])?.get::<_, i64>(0),
        )?)
    }

    /// Waits until everything that is committed now is confirmed.
    pub(crate) fn until_confirmed(&mut self, program: &Program) -> Result<()> {
        let head = self.head()?;
        let mut last = None;
        let waited = until("everything is confirmed", || {
            last = self.confirmed()?;
            Ok(last.is_some_and(|confirmed| confirmed >= head))
        });
        waited.with_context(|| {
            let log = program.stderr();
            format!("{head:X} is to be confirmed, and {last:X?} is; the log says {log}")
        })
    }

    /// The walsender of the slot.
    pub(crate) fn walsender(&mut self) -> Result<Option<i32>> {
        let query = "select active_pid from pg_replication_slots where slot_name = $1";
        let row = self.admin.query_opt(query, &[&self.name])?;
        Ok(row.and_then(|row| row.get(0)))
    }

    fn drop_slot(&mut self) -> Result<()> {
        until("the slot is dropped", || {
            if let Some(pid) = self.walsender()? {
                self.admin
                    .execute("select pg_terminate_backend($1)", &[&pid])?;
            }
            let query = "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
                         where slot_name = $1 and not active";
            Ok(self.admin.query(query, &[&self.name]).is_ok() && !self.has_slot()?)
        })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // The test's own outcome counts; a slot that stays is only one less for the others.
        let _dropped = self.drop_slot();
    }
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

/// Fails on WARN and ERROR, but for `known`.
pub(crate) fn quiet(log: &str, known: &[&str]) -> Result<()> {
    let alarms = alarms(log, known);
    ensure!(alarms.is_empty(), "unexpected in the log: {alarms:#?}");
    Ok(())
}

/// A file sink on `path`.
pub(crate) fn file_sink(path: &Path) -> String {
    format!(
        "[sinks.file]\ntype = \"file\"\npath = \"{}\"\n",
        path.display()
    )
}

/// The whole lines of a file of events; none when it is not there yet.
pub(crate) fn events(path: &Path) -> Result<Vec<Value>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read(path)?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    String::from_utf8(text[..whole].to_vec())?
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// `op`, table and the new row of each event, as one text each: `insert t {"id":1}`; the key for a
/// delete.
pub(crate) fn brief(events: &[Value]) -> Vec<String> {
    let brief = |event: &Value| {
        let row = if event["after"].is_null() {
            &event["key"]
        } else {
            &event["after"]
        };
        let table = event["table"].as_str().unwrap_or_default();
        format!("{} {table} {row}", event["op"].as_str().unwrap_or_default())
    };
    events.iter().map(brief).collect()
}

/// The commit LSN of an event.
pub(crate) fn lsn(event: &Value) -> Result<u64> {
    let id = event["id"]
        .as_str()
        .with_context(|| format!("an id: {event}"))?;
    let digits = id.get(2..16).context("16 digits")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

/// Ends the service in order and checks that it was.
pub(crate) fn stop(program: Program, known: &[&str]) -> Result<Ended> {
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(
        ended.status.code() == Some(0),
        "SIGTERM ended it with {}: {}",
        ended.status,
        ended.stderr
    );
    quiet(&ended.stderr, known)?;
    Ok(ended)
}

/// Asserts that it ended with that code and that its error says all of `texts`.
pub(crate) fn failed(ended: &Ended, code: i32, texts: &[&str]) -> Result<()> {
    ensure!(
        ended.status.code() == Some(code),
        "{} instead of exit code {code}: {}",
        ended.status,
        ended.stderr
    );
    for text in texts {
        ensure!(
            ended.stderr.contains(text),
            "{text:?} is missing: {}",
            ended.stderr
        );
    }
    Ok(())
}

/// A figure of `/proc/PID/status`, in KiB: `VmHWM` is the most memory that a process ever had.
pub(crate) fn memory_kib(pid: u32, figure: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .context("a figure")?;
    Ok(kib.parse()?)
}
