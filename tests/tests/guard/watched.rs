//! A service that is watched from all sides: `/status`, `walgate status`, and whoever is told.

use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use walgate_tests::{Program, failed, session, slot, versions};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::receiver::Receiver;
use crate::source_faults::ledger_bed::LedgerBed;
use crate::watch::{SHOWN, address, ask, status, until_slot};

/// The rules with numbers, off, and times for people who can't wait. The test turns on what it is about.
const OFF: [&str; 9] = [
    "retained_bytes",
    "headroom",
    "lag",
    "time_to_limit",
    "slot_inactive",
    "server_silent",
    "sink_down",
    "error_rate",
    "backlog",
];

/// A server whose log comes in files of 1 MiB, so that little has to be written until a slot is in
/// danger. It makes checkpoints when it is told to, and when half of `max_wal_size` was written.
pub(crate) fn small(version: PgVersion) -> PostgresOptions {
    PostgresOptions::version(version)
        .wal_segment_mib(1)
        .setting("min_wal_size", "32MB")
        .setting("max_wal_size", "32MB")
        .setting("checkpoint_timeout", "1h")
}

/// Runs a test on a server of each version, all at once: such tests wait for most of their time.
pub(crate) fn on_each_version(test: fn(PgVersion) -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let running: Vec<_> = versions()
            .into_iter()
            .map(|version| (version, scope.spawn(move || test(version))))
            .collect();
        let mut ended = running.into_iter().map(|(version, test)| {
            let ended = test.join().unwrap_or_else(|_| bail!("it panicked"));
            ended.with_context(|| format!("on PostgreSQL {version}"))
        });
        ended.try_for_each(|ended| ended)
    })
}

/// A bed with a ledger, whose slot is watched.
pub(crate) struct Watched {
    pub(crate) bed: LedgerBed,
    /// Another database of the server, whose log our slot holds back and does not want.
    elsewhere: String,
    pub(crate) receiver: Receiver,
}

impl Watched {
    /// On a server that the test breaks, with a slot that is made, and these lines of `[guard]`.
    pub(crate) fn on(server: &Postgres, name: &str, guard: &str) -> Result<Self> {
        let bed = LedgerBed::on(server, name)?;
        bed.begin()?;
        let receiver = Receiver::start("204 No Content")?;
        let mut watched = Self {
            bed,
            elsewhere: server.url(),
            receiver,
        };
        watched.bed.more = watched.sections(guard, "");
        Ok(watched)
    }

    /// `[http]`, `[watch]`, `[guard]` and `[alerts]`, with these lines of the last two.
    pub(crate) fn sections(&self, guard: &str, alerts: &str) -> String {
        let set = |rule: &str| guard.lines().any(|line| line.starts_with(rule));
        let off = OFF.into_iter().filter(|rule| !set(rule));
        let off = off.map(|rule| format!("{rule} = []\n"));
        format!(
            "{SHOWN}[guard]\n{}raise_after = \"1s\"\nsettle_after = \"2s\"\n{guard}\n\
             [alerts]\nrepeat = \"2s\"\nwebhook = \"{}\"\n{alerts}\n",
            off.collect::<String>(),
            self.receiver.url
        )
    }

    /// Serves, and says where it shows itself.
    pub(crate) fn serve(&self) -> Result<(Program, String)> {
        let mut program = self.bed.serve()?;
        let at = address(&mut program)?;
        Ok((program, at))
    }

    /// Has nothing delivered from now on. It takes some time until a start gives the sink up and streams.
    pub(crate) fn serve_dead(&mut self) -> Result<(Program, String)> {
        self.bed.configure(&super::down("file"))?;
        let mut program = self.bed.start()?;
        let at = address(&mut program)?;
        Ok((program, at))
    }

    /// Writes log that nobody wants until the slot holds back so many MiB, or is lost.
    pub(crate) fn hold(&self, mib: i64) -> Result<()> {
        let mut admin = session(&self.elsewhere)?;
        let held = "select (pg_current_wal_insert_lsn() - restart_lsn)::bigint >> 20 \
                    from pg_replication_slots where slot_name = $1";
        let write = "select pg_logical_emit_message(false, 'load', repeat('x', 1 << 20))";
        while admin
            .query_one(held, &[&self.bed.name])?
            .get::<_, Option<i64>>(0)
            .is_some_and(|held| held < mib)
        {
            admin.batch_execute(write)?;
        }
        Ok(())
    }

    /// `wal_status`, as the server says it now.
    pub(crate) fn wal_status(&self) -> Result<String> {
        let row = slot(&mut self.bed.admin()?, &self.bed.name)?.context("the slot")?;
        row.wal_status.context("a status")
    }

    /// Waits until `/status` says so of our slot, and gives what it says.
    pub(crate) fn until(
        &self,
        at: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let found = until_slot(at, what, holds)?;
        let slots = found["slots"].as_array().context("slots")?;
        let ours = slots.iter().find(|slot| slot["ours"] == true);
        ours.cloned().context("our slot")
    }

    /// Asserts that `walgate status` finds it unhealthy, in these words.
    pub(crate) fn unhealthy(&self, words: &[&str]) -> Result<()> {
        let asked = ask(&self.bed, &[])?;
        failed(&asked, 1, &[])?;
        let said = asked.lines.join("\n") + &asked.stderr;
        for word in words {
            ensure!(said.contains(word), "{word:?} is missing: {said}");
        }
        Ok(())
    }

    /// What stands, by `/status`: rule and severity.
    pub(crate) fn stands(&self, at: &str, rule: &str, severity: &str) -> Result<bool> {
        let found = status(at)?;
        let alerts = found["guard"]["alerts"].as_array().cloned();
        let mut alerts = alerts.unwrap_or_default().into_iter();
        Ok(alerts.any(|alert| alert["rule"] == rule && alert["severity"] == severity))
    }

    /// The last that was told of a rule of which this holds.
    pub(crate) fn told(&self, rule: &str, holds: impl Fn(&Value) -> bool) -> Option<Value> {
        let of = |message: &Value| message["rule"] == rule && holds(message);
        self.receiver.all().into_iter().rev().find(of)
    }
}

/// Asserts that a text of a message or of `/status` says all of this.
pub(crate) fn says(of: &Value, name: &str, words: &[&str]) -> Result<()> {
    let text = of[name].as_str().unwrap_or_default();
    for word in words {
        ensure!(text.contains(word), "{word:?} is missing in {name}: {of}");
    }
    Ok(())
}
