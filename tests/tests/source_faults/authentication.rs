//! Passwords and rights that are wrong, or change while we run.

use anyhow::{Result, ensure};
use walgate_tests::{CREATED, Ended, Program, refused, stop};
use walgate_throwaway::{PgAuth, PgVersion, Postgres, PostgresOptions};

use super::ledger_bed::{DOWN, LedgerBed};

const GOOD: &str = "correct-horse-1";
const BAD: &str = "battery-staple-2";

fn own() -> Result<Postgres> {
    let options = PostgresOptions::version(PgVersion::V16).auth(PgAuth::ScramSha256);
    Ok(Postgres::start(&options)?)
}

/// A bed with a role of its own.
fn bed(server: &Postgres) -> Result<LedgerBed> {
    let bed = LedgerBed::on(server, "authentication")?;
    bed.sql(&format!(
        "set password_encryption = 'scram-sha-256'; \
         create role gate login replication password '{GOOD}'; \
         grant select on ledger to gate;"
    ))?;
    Ok(bed)
}

fn url(server: &Postgres, password: &str) -> String {
    format!(
        "postgres://gate:{password}@127.0.0.1:{}/authentication",
        server.port()
    )
}

fn no_secret(ended: &Ended) -> Result<()> {
    let said = format!("{}\n{}", ended.stderr, ended.lines.join("\n"));
    for secret in [GOOD, BAD] {
        ensure!(
            !said.contains(secret),
            "a password is in the output: {said}"
        );
    }
    Ok(())
}

/// Row 22: what is wrong at the start.
#[test]
fn wrong_passwords_and_missing_rights_are_refused_without_telling_the_secret() -> Result<()> {
    let server = own()?;
    let mut bed = bed(&server)?;
    bed.url = url(&server, BAD);
    let ended = bed.run_until_now()?;
    let text = [
        "password authentication failed for user \"gate\"",
        "password",
    ];
    refused(&ended, 3, &text, &[DOWN])?;
    no_secret(&ended)?;
    ensure!(
        ended.stderr.matches(DOWN).count() == 1,
        "one line: {}",
        ended.stderr
    );
    let ended = Program::start(["-v", "tail", bed.url.as_str()])?.wait()?;
    ensure!(
        ended.status.code() == Some(2) || ended.status.code() == Some(3),
        "{}: {}",
        ended.status,
        ended.stderr
    );
    no_secret(&ended)?;
    bed.url = url(&server, GOOD);
    bed.sql("alter role gate nologin;")?;
    let ended = bed.run_until_now()?;
    refused(
        &ended,
        3,
        &["role \"gate\" is not permitted to log in"],
        &[],
    )?;
    no_secret(&ended)?;
    bed.sql("alter role gate login noreplication;")?;
    let ended = bed.run_until_now()?;
    refused(&ended, 3, &["ALTER ROLE", "REPLICATION"], &[])?;
    no_secret(&ended)?;
    ensure!(bed.slot()?.is_none(), "nothing has happened on the server");
    bed.sql("alter role gate replication;")?;
    bed.insert(1..=1)?;
    let ended = bed.run_until_now()?;
    no_secret(&ended)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}

/// Row 22: the right to replicate is taken away, and the password changed, while we run.
#[test]
fn a_password_that_is_changed_while_it_runs_ends_it_after_three_attempts() -> Result<()> {
    let server = own()?;
    let mut bed = bed(&server)?;
    bed.url = url(&server, GOOD);
    let end = "select pg_terminate_backend(pid) from pg_stat_replication;";
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    bed.sql(&format!("alter role gate password '{BAD}';\n{end}"))?;
    let ended = program.wait()?;
    let text = ["password authentication failed for user \"gate\""];
    refused(&ended, 3, &text, &[DOWN, CREATED])?;
    no_secret(&ended)?;
    bed.sql(&format!("alter role gate password '{GOOD}';"))?;
    let program = bed.serve()?;
    bed.sql(&format!("alter role gate noreplication;\n{end}"))?;
    let ended = program.wait()?;
    refused(&ended, 3, &["REPLICATION"], &[DOWN])?;
    no_secret(&ended)?;
    bed.complete()
}

/// Row 22: a password that rotates comes from a command, run for every connection.
#[test]
fn a_rotated_password_is_asked_for_again() -> Result<()> {
    let server = own()?;
    let mut bed = bed(&server)?;
    let file = bed.path("password");
    std::fs::write(&file, GOOD)?;
    bed.url = format!("postgres://gate@127.0.0.1:{}/authentication", server.port());
    bed.source = format!("password_command = [\"cat\", \"{}\"]\n", file.display());
    let mut program = bed.serve()?;
    for (outage, password) in [BAD, GOOD].into_iter().enumerate() {
        std::fs::write(&file, password)?;
        bed.sql(&format!(
            "alter role gate password '{password}';\n\
             select pg_terminate_backend(pid) from pg_stat_replication;"
        ))?;
        program.wait_until("a new connection", |log| {
            log.matches("connected again").count() > outage
        })?;
        let id = i32::try_from(outage)?;
        bed.insert(id..=id)?;
        bed.until_complete(&mut program)?;
    }
    no_secret(&stop(program, &[DOWN, CREATED])?)?;
    bed.complete()
}
