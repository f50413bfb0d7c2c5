//! What gets in the way of watching and telling gets in nobody else's.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{run_script, session, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::watched::{Watched, says};
use crate::watch::{get, status};

/// A role that may do nothing but replicate and read its own tables.
#[test]
fn a_role_without_rights_says_what_it_can_not_see_and_an_address_that_is_nobodys_stops_nothing()
-> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V16))?;
    server.sql("create role few login replication")?;
    let mut watched = Watched::on(&server, "few", "retained_bytes = [\"40MiB\"]\n")?;
    watched.bed.sql("grant select on ledger to few;")?;
    watched.bed.url = server.url_of("few", "few");
    let nobody =
        "slack = \"http://127.0.0.1:1/geheim\"\ndead_mans_switch = \"http://127.0.0.1:1/geheim\"\n";
    watched.bed.more = watched.sections("retained_bytes = [\"20MiB\"]\n", nobody);
    let (mut program, at) = watched.serve()?;
    let mut unseen = Value::Null;
    until("what it can't see is said", || {
        unseen = status(&at)?["unseen"].clone();
        Ok(unseen.to_string().contains("GRANT pg_monitor TO few"))
    })
    .with_context(|| unseen.to_string())?;

    // Who holds the log back is hidden. What is held back is not.
    let mut open = session(&server.url_of("postgres", "few"))?;
    run_script(
        &mut open,
        "begin;\ninsert into ledger values (1001, 1, 0, 'open');\n",
    )?;
    watched.hold(40)?;
    watched
        .receiver
        .wait_for("retained_bytes", "raised", "warning")?;
    let told = watched
        .told("retained_bytes", |_| true)
        .context("a message")?;
    let held = told["facts"]["retained_bytes"].as_u64();
    ensure!(held > Some(20 << 20), "{told}");
    says(&told, "summary", &["slot few holds back"])?;
    watched.bed.insert(1..=1000)?;
    watched.bed.until_complete(&mut program)?;
    open.batch_execute("commit")?;
    until("it is over", || {
        watched.bed.sql("checkpoint;")?;
        let told = watched.told("retained_bytes", |told| told["kind"] == "resolved");
        Ok(told.is_some())
    })?;
    watched.bed.until_complete(&mut program)?;
    let log = program.stderr();
    ensure!(!log.contains("geheim"), "{log}");
    stop(program, &["slack", "switch", "not sent"])?;
    watched.bed.complete()
}

/// The backend that answers the looks is stopped, as by a disk that hangs: the stream does not care.
#[test]
fn a_look_that_hangs_is_given_up_and_told_and_delivery_goes_on() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let watched = Watched::on(&server, "hangs", "watch_blind = [\"2s\"]\n")?;
    let (mut program, at) = watched.serve()?;
    watched.until(&at, "it is seen", |slot| slot["state"] == "active")?;
    let mut frozen = Frozen::default();
    until("a look hangs, and is given up", || {
        // It comes back with another connection, which hangs, too.
        frozen.freeze(&watched)?;
        Ok(!watched.receiver.told("watch_blind").is_empty())
    })?;
    watched
        .receiver
        .wait_for("watch_blind", "raised", "warning")?;
    let told = watched.told("watch_blind", |_| true).context("a message")?;
    says(&told, "summary", &["no look at the server's slots for"])?;
    watched.bed.insert(1..=1000)?;
    watched.bed.until_complete(&mut program)?;
    watched.bed.until_confirmed(&mut program)?;
    ensure!(get(&at, "/readyz")?.0 == 200, "it is ready");
    ensure!(get(&at, "/livez")?.0 == 200, "and alive");
    drop(frozen);
    watched
        .receiver
        .wait_for("watch_blind", "resolved", "warning")?;
    watched.until(&at, "it is seen again", |slot| slot["state"] == "active")?;
    stop(program, &[])?;
    watched.bed.complete()
}

/// Backends that are stopped until this is dropped: a server can't end while one is.
#[derive(Default)]
struct Frozen(Vec<i32>);

impl Frozen {
    /// Stops the backends that look: ordinary ones of the program.
    fn freeze(&mut self, watched: &Watched) -> Result<()> {
        let query = "select pid from pg_stat_activity where backend_type = 'client backend' \
                     and application_name like 'walgate%' and pid <> pg_backend_pid()";
        for row in watched.bed.admin()?.query(query, &[])? {
            let pid: i32 = row.get(0);
            if !self.0.contains(&pid) {
                signal("STOP", pid)?;
                self.0.push(pid);
            }
        }
        Ok(())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that has ended needs no signal.
            let _gone = signal("CONT", *pid);
        }
    }
}

fn signal(name: &str, pid: i32) -> Result<()> {
    let sent = std::process::Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()?;
    ensure!(sent.success(), "kill -{name} {pid}");
    Ok(())
}
