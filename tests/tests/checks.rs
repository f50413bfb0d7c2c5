//! `walgate check`: everything that is wrong, at once, with what fixes it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Bed, Ended, Program, failed, file_sink, quiet, refused};
use walgate_throwaway::{PgAuth, PgVersion, Postgres, PostgresOptions};

fn run(words: &[&str]) -> Result<Ended> {
    let all = ["check", "--for", "500ms"].into_iter();
    Program::start(all.chain(words.iter().copied()))?.wait()
}

fn levels<'a>(report: &'a Value, level: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings
        .filter(|finding| finding["level"] == level)
        .filter_map(|finding| finding["check"].as_str())
        .collect()
}

#[test]
fn a_server_that_is_ready_and_one_that_is_not() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17).setting("max_slot_wal_keep_size", "5GB");
    let server = Postgres::start(&options)?;
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::on(&server, "check_ready", setup)?;
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let config = config.to_str().context("a path")?;
    let ended = run(&["-c", config])?;
    ensure!(
        ended.status.success(),
        "{}\n{}",
        ended.lines.join("\n"),
        ended.stderr
    );
    quiet(&ended.stderr, &[])?;
    let last = ended.lines.last().context("a last line")?;
    ensure!(
        last.contains(" 0 warned, 0 failed"),
        "{}",
        ended.lines.join("\n")
    );

    bed.sql("create table keyless (id int); alter publication walgate add table keyless;")?;
    server.sql("alter system set max_slot_wal_keep_size = -1")?;
    server.sql("alter system set wal_level = replica")?;
    server.sql("create role nobody login")?;
    let mut server = server;
    server.restart(walgate_throwaway::StopMode::Fast)?;
    let url = server.url_of("nobody", "check_ready");
    let words = [
        &url,
        "-c",
        config,
        "--publication",
        "nope",
        "--publication",
        "walgate",
    ];
    let ended = run(&words)?;
    refused(&ended, 2, &["checks failed"], &[])?;
    let text = ended.lines.join("\n");
    for part in [
        "FAIL  wal_level",
        "fix: ALTER SYSTEM SET wal_level = 'logical'; then restart",
        "FAIL  role",
        "fix: ALTER ROLE nobody REPLICATION",
        "FAIL  replication",
        "FAIL  max_slot_wal_keep_size",
        "WARN  statistics",
        "FAIL  publication",
        "publication nope does not exist in database check_ready",
        "FAIL  replica_identity",
        "ALTER TABLE public.keyless",
    ] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }

    let ended = run(&[&words[..], &["--json", "--accept-unlimited-wal"]].concat())?;
    failed(&ended, 2, &["checks failed"])?;
    let report: Value = serde_json::from_str(&ended.lines.join("\n"))?;
    ensure!(
        report["failed"] == levels(&report, "fail").len(),
        "{report}"
    );
    ensure!(
        levels(&report, "warn").contains(&"max_slot_wal_keep_size"),
        "{report}"
    );
    ensure!(report["provider"] == "self_managed", "{report}");
    Ok(())
}

#[test]
fn a_login_that_is_refused() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17).auth(PgAuth::ScramSha256);
    let server = Postgres::start(&options)?;
    let url = format!(
        "postgres://postgres:wrong@127.0.0.1:{}/postgres",
        server.port()
    );
    let ended = run(&[&url])?;
    failed(&ended, 3, &["password authentication failed"])
}
