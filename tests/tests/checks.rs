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

#[test]
fn the_scripts_prepare_a_server_and_can_be_run_again() -> Result<()> {
    for version in [PgVersion::V14, PgVersion::V18] {
        let options = PostgresOptions::version(version).setting("max_slot_wal_keep_size", "5GB");
        let server = Postgres::start(&options)?;
        server.sql(
            "create table keyed (id int primary key);
             create table keyless (id int);
             create table parts (id int primary key) partition by range (id);
             create table part partition of parts for values from (0) to (10);
             create role rds_replication",
        )?;
        for _ in 0..2 {
            for script in [
                include_str!("../../sql/role.sql"),
                include_str!("../../sql/role_rds.sql"),
                include_str!("../../sql/publication.sql"),
                include_str!("../../sql/monitoring.sql"),
            ] {
                server.sql(script)?;
            }
        }
        server.sql("select pg_create_logical_replication_slot('s', 'pgoutput')")?;
        let published = server.sql("select tablename from pg_publication_tables order by 1")?;
        let published: Vec<_> = published.into_iter().flatten().flatten().collect();
        ensure!(published == ["keyed", "parts"], "{version}: {published:?}");
        let mut open = server.admin()?;
        open.query("begin; insert into keyless values (1)")?;
        let mut monitor =
            postgres::Client::connect(&server.url_of("walgate", "postgres"), postgres::NoTls)?;
        let row = monitor.query_one(
            "select slot_name::text, retained_bytes::int8, consumer_role::text from walgate_monitoring.slots",
            &[],
        )?;
        ensure!(row.get::<_, String>(0) == "s" && row.get::<_, i64>(1) >= 0);
        let row = monitor.query_one(
            "select kind, pid is not null, role from walgate_monitoring.oldest_transactions",
            &[],
        )?;
        ensure!(row.get::<_, String>(0) == "open" && row.get::<_, bool>(1));

        // The role has what it needs, and nothing that is published is wrong.
        let url = server.url_of("walgate", "postgres");
        let ended = run(&[&url, "--publication", "walgate", "--json"])?;
        ensure!(
            ended.status.success(),
            "{version}: {}",
            ended.lines.join("\n")
        );
        let report: Value = serde_json::from_str(&ended.lines.join("\n"))?;
        ensure!(levels(&report, "warn").is_empty(), "{version}: {report}");
    }
    Ok(())
}
