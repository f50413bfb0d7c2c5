//! A drop that does not come about: nothing is lost, and the next process may try it again.

use anyhow::{Context, Result, ensure};
use walgate_tests::{Bed, Ended, Program, until};
use walgate_throwaway::{FaultProxy, PgVersion, Postgres, PostgresOptions};

use super::{bed, down, sections, write};

const POLICY: &str = "policy = [\"alert\", \"drop-slot\"]\nallow_data_loss = true";

/// The sections, with a stop that leaves a test the time to do something to the server meanwhile.
fn policy(shutdown_timeout: &str) -> String {
    let sections = sections(POLICY, "");
    format!("shutdown_timeout = \"{shutdown_timeout}\"\n{sections}")
}

/// The slot is there, nothing is declared lost, and the step does not count as taken.
fn nothing_has_happened(bed: &Bed, ended: &Ended, code: i32, why: &str) -> Result<()> {
    ensure!(
        ended.status.code() == Some(code),
        "{:?}: {}",
        ended.status,
        ended.stderr
    );
    for text in ["was to be dropped", "and was not", why] {
        ensure!(ended.stderr.contains(text), "no {text:?}: {}", ended.stderr);
    }
    ensure!(bed.slot()?.is_some(), "it is gone: {}", ended.stderr);
    let checkpoint = std::fs::read_to_string(bed.path("state/checkpoint"))?;
    ensure!(!checkpoint.contains("slot_lost"), "{checkpoint}");
    let alerts = std::fs::read_to_string(bed.path("state/alerts.json"))?;
    ensure!(!alerts.contains("drop-slot"), "{alerts}");
    Ok(())
}

/// The next process drops it.
fn dropped(bed: &Bed, program: Program) -> Result<()> {
    let mut program = program;
    program.wait_for_log("waiting for the next checkpoint")?;
    ensure!(bed.slot()?.is_none(), "it is still there");
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.code() == Some(4), "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_role_that_may_not_drop_ends_with_the_slot_and_tries_again() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V16))?;
    server.sql("create role gate login replication; grant pg_monitor to gate")?;
    let mut bed = bed(&server, "guard_right")?;
    bed.sql("grant select on t to gate")?;
    bed.url = server.url_of("gate", &bed.name);
    bed.more = policy("1s");
    bed.configure(&down("out"))?;
    let program = bed.serve()?;
    bed.sql("insert into t values (1); alter role gate noreplication")?;
    write(&bed, 60)?;
    let ended = program.wait()?;
    nothing_has_happened(&bed, &ended, 3, "permission denied")?;
    bed.sql("alter role gate replication")?;
    dropped(&bed, bed.serve()?)
}

#[test]
fn a_slot_that_somebody_else_has_taken_stays() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = bed(&server, "guard_taken")?;
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into())?;
    // It takes the slot as soon as that is free, and confirms nothing.
    bed.configure(&down("other"))?;
    let other = bed.write_config_as("other.toml", "other")?;
    let direct = std::mem::replace(
        &mut bed.url,
        format!(
            "postgres://postgres@127.0.0.1:{}/{}",
            proxy.port(),
            bed.name
        ),
    );
    bed.more = policy("10s");
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    let ours = bed.walsender()?.context("nobody uses the slot")?;
    let other = Program::start(["run".as_ref(), "-c".as_ref(), other.as_os_str()])?;
    write(&bed, 60)?;
    program.wait_for_log("the guard stops the stream")?;
    proxy.refuse();
    proxy.cut();
    until("the other one has the slot", || {
        Ok(bed.walsender()?.is_some_and(|pid| pid != ours))
    })
    .with_context(|| format!("{}\n{}", program.stderr(), other.stderr()))?;
    proxy.accept();
    let ended = program.wait()?;
    nothing_has_happened(&bed, &ended, 5, "in use")?;
    other.signal("KILL")?;
    other.wait()?;
    bed.url = direct;
    dropped(&bed, bed.serve()?)
}

#[test]
fn a_server_that_is_away_between_the_steps_is_asked_again() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V18))?;
    let mut bed = bed(&server, "guard_away")?;
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into())?;
    bed.url = format!(
        "postgres://postgres@127.0.0.1:{}/{}",
        proxy.port(),
        bed.name
    );
    bed.more = policy("1s");
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    write(&bed, 60)?;
    program.wait_for_log("the guard stops the stream")?;
    proxy.refuse();
    proxy.cut();
    program.wait_for_log("the slot is not dropped yet, and it is tried again")?;
    ensure!(bed.slot()?.is_some(), "it is gone");
    proxy.accept();
    dropped(&bed, program)
}
