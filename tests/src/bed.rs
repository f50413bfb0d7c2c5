//! A database with a slot, a publication and a state folder of its own, and the service on it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use postgres::Client;
use tempfile::TempDir;
use walgate_throwaway::{PgVersion, Postgres};

use crate::{CREATED, Ended, Program, SlotRow, clean, database, run_script, session, slot, until};

/// `[journal]` on disk in small segments, with these lines too. Takes its budget from the disk
/// however full the rest of the machine has made it: what stays free is tested where it is tested.
#[must_use]
pub fn journal_on_disk(lines: &str) -> String {
    format!("[journal]\npath = \"journal\"\nsegment = \"1MiB\"\nkeep_free = 0\n{lines}\n")
}

/// A database and all that a `walgate run` on it needs.
pub struct Bed {
    /// Name of the database and of the slot.
    pub name: String,
    /// How the test reaches the database.
    pub direct: String,
    /// How the program does.
    pub url: String,
    /// More lines of `[source]`.
    pub source: String,
    /// Keys without a section, and sections other than source, state and sinks.
    pub more: String,
    /// The sections of the sinks.
    pub sinks: String,
    folder: TempDir,
    drops_slot: bool,
}

impl Bed {
    /// On the server of that version that all tests share. `setup` makes the tables and the
    /// publication `walgate`. The slot goes when this is dropped.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or `setup` fails.
    pub fn shared(version: PgVersion, name: &str, setup: &str) -> Result<Self> {
        Self::at(database(version, name)?, name, setup)
    }

    /// As [`Self::shared`], on a database that is there.
    ///
    /// # Errors
    ///
    /// When it can't be reached, or `setup` fails.
    pub fn at(url: String, name: &str, setup: &str) -> Result<Self> {
        Self::with(name, url, setup, true)
    }

    /// On a server that the test breaks: nothing is cleaned up there.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or `setup` fails.
    pub fn on(server: &Postgres, name: &str, setup: &str) -> Result<Self> {
        server.sql(&format!("create database {name}"))?;
        Self::with(name, server.url_of("postgres", name), setup, false)
    }

    fn with(name: &str, url: String, setup: &str, drops_slot: bool) -> Result<Self> {
        run_script(&mut session(&url)?, setup)?;
        Ok(Self {
            name: name.to_owned(),
            direct: url.clone(),
            url,
            source: String::new(),
            more: String::new(),
            sinks: String::new(),
            folder: tempfile::tempdir()?,
            drops_slot,
        })
    }

    /// Where the configuration and the state are, and whatever a test puts there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in [`Self::folder`].
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits until a standby that copies slots when it is asked to has the bed's, for good.
    ///
    /// # Errors
    ///
    /// When it does not get it.
    pub fn until_synced(&self, standby: &Postgres) -> Result<()> {
        let mut there = session(&standby.url())?;
        until("the slot is on the standby", || {
            let synced = "select exists (select from pg_replication_slots \
                          where slot_name = $1 and synced and not temporary)";
            // The slot waits until the standby has what it needs; more WAL brings that about.
            self.sql("checkpoint;")?;
            there.batch_execute("select pg_sync_replication_slots()")?;
            Ok(there.query_one(synced, &[&self.name])?.get(0))
        })
    }

    /// Takes these sinks from now on. Writes the configuration, and gives its path.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn configure(&mut self, sinks: &str) -> Result<PathBuf> {
        sinks.clone_into(&mut self.sinks);
        self.write_config()
    }

    /// Writes the configuration, as every start does, and gives its path.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn write_config(&self) -> Result<PathBuf> {
        self.write_config_as("walgate.toml", "state")
    }

    /// Writes a configuration of that name, with a state folder of that name.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn write_config_as(&self, file: &str, state: &str) -> Result<PathBuf> {
        let path = self.path(file);
        let text = format!(
            "{}\n[source]\nurl = \"{}\"\nslot = \"{}\"\npublications = [\"walgate\"]\n{}\n\
             [state]\ndir = \"{state}\"\n\n{}\n",
            self.more, self.url, self.name, self.source, self.sinks
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the service.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start(&self) -> Result<Program> {
        let config = self.write_config()?;
        Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
    }

    /// Starts the service and waits until it streams.
    ///
    /// # Errors
    ///
    /// When it ends before.
    pub fn serve(&self) -> Result<Program> {
        let mut program = self.start()?;
        program.wait_for_log("streaming")?;
        Ok(program)
    }

    /// Runs the service until everything that is committed is delivered, or it fails.
    ///
    /// # Errors
    ///
    /// When it can't be started, or does not end.
    pub fn run_until_now(&self) -> Result<Ended> {
        let config = self.write_config()?;
        let args = ["run", "--until", "now", "-c"].map(AsRef::as_ref);
        Program::start(args.into_iter().chain([config.as_os_str()]))?.wait()
    }

    /// Delivers everything that is committed, quietly but for `known`.
    ///
    /// # Errors
    ///
    /// When it fails, or says something else.
    pub fn catch_up(&self, known: &[&str]) -> Result<Ended> {
        let ended = self.run_until_now()?;
        clean(&ended, known)?;
        Ok(ended)
    }

    /// Makes the slot: what is committed from now on is delivered.
    ///
    /// # Errors
    ///
    /// As [`Self::catch_up`].
    pub fn begin(&self) -> Result<()> {
        self.catch_up(&[CREATED]).map(drop)
    }

    /// A new session on the database, past whatever the program goes through.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub fn admin(&self) -> Result<Client> {
        session(&self.direct)
    }

    /// Runs a script in a session of its own, each statement by itself.
    ///
    /// # Errors
    ///
    /// When a statement fails.
    pub fn sql(&self, script: &str) -> Result<()> {
        run_script(&mut self.admin()?, script)
    }

    /// The row of the slot.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub fn slot(&self) -> Result<Option<SlotRow>> {
        slot(&mut self.admin()?, &self.name)
    }

    /// The process that serves the slot.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub fn walsender(&self) -> Result<Option<i32>> {
        Ok(self.slot()?.and_then(|slot| slot.walsender))
    }

    /// What the slot has confirmed.
    ///
    /// # Errors
    ///
    /// When there is no slot.
    pub fn confirmed(&self) -> Result<u64> {
        let slot = self.slot()?.context("there is no slot")?;
        slot.confirmed.context("the slot has confirmed nothing yet")
    }

    /// The end of the log that is on disk.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub fn head(&self) -> Result<u64> {
        let query = "select (pg_current_wal_flush_lsn() - '0/0')::bigint";
        let row = self.admin()?.query_one(query, &[])?;
        Ok(u64::try_from(row.get::<_, i64>(0))?)
    }

    /// Waits until everything that is on disk now is confirmed.
    ///
    /// # Errors
    ///
    /// When the program ends before, or the patience of the tests does.
    pub fn until_confirmed(&self, program: &mut Program) -> Result<()> {
        let head = self.head()?;
        self.until_slot(program, &format!("{head:X} is confirmed"), |slot| {
            slot.confirmed.is_some_and(|confirmed| confirmed >= head)
        })
    }

    /// Waits until `condition` holds of the slot.
    ///
    /// # Errors
    ///
    /// When the program ends before, or the patience of the tests does.
    pub fn until_slot(
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
        if self.drops_slot {
            // The test's own outcome counts; a slot that stays is only one less for the others.
            let _dropped = self.drop_slot();
        }
    }
}

/// A file sink on `path`.
pub fn file_sink(path: &Path) -> String {
    format!(
        "[sinks.file]\ntype = \"file\"\npath = \"{}\"\n",
        path.display()
    )
}
