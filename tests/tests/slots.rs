//! `walgate slots`: what it shows, and what it refuses.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Bed, Ended, Program, failed, file_sink, quiet, refused};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

/// A server of one's own: what other tests leave behind would be shown too.
fn server(version: PgVersion) -> Result<Postgres> {
    let options = PostgresOptions::version(version)
        .setting("max_slot_wal_keep_size", "1GB")
        .setting("max_replication_slots", "5");
    let server = Postgres::start(&options)?;
    server.sql("create table t (id int primary key); create publication walgate for table t")?;
    Ok(server)
}

fn run(words: &[&str]) -> Result<Ended> {
    Program::start(std::iter::once("slots").chain(words.iter().copied()))?.wait()
}

/// Runs it, without an alarm, and gives what it says.
fn said(words: &[&str]) -> Result<String> {
    let ended = run(words)?;
    ensure!(ended.status.success(), "{words:?}: {}", ended.stderr);
    quiet(&ended.stderr, &[])?;
    Ok(ended.lines.join("\n"))
}

fn object(words: &[&str]) -> Result<Value> {
    let text = said(words)?;
    serde_json::from_str(&text).with_context(|| format!("one object: {text}"))
}

fn fill(server: &Postgres, files: usize) -> Result<()> {
    for _ in 0..files {
        server.sql("select pg_logical_emit_message(false, 'fill', 'x')")?;
        server.sql("select pg_switch_wal()")?;
    }
    Ok(())
}

fn create(server: &Postgres, name: &str) -> Result<()> {
    let sql = format!("select pg_create_logical_replication_slot('{name}', 'pgoutput')");
    server.sql(&sql)?;
    Ok(())
}

fn exists(server: &Postgres, name: &str) -> Result<bool> {
    let sql = format!("select 1 from pg_replication_slots where slot_name = '{name}'");
    Ok(!server.sql(&sql)?.is_empty())
}

#[test]
fn what_is_held_back_why_and_until_when() -> Result<()> {
    for version in [PgVersion::V14, PgVersion::V18] {
        let server = server(version)?;
        let url = server.url();
        ensure!(said(&[&url, "--for", "500ms"])?.contains("there are no replication slots"));
        create(&server, "forgotten")?;
        fill(&server, 10)?;
        create(&server, "young")?;
        let text = said(&[&url])?;
        for part in [
            "no consumer",
            "why: forgotten holds back",
            "fix: start its consumer, or if it will never come back: walgate slots drop forgotten",
            "max_slot_wal_keep_size: 1.00 GiB",
            "2 of 5 slots",
            "Faster bursts are not counted",
        ] {
            ensure!(text.contains(part), "{part} is missing in {text}");
        }
        ensure!(
            !text.contains("why: young"),
            "it holds nothing back: {text}"
        );

        let found = object(&[&url, "--json", "--budget", "200MiB"])?;
        let slot = &found["slots"][0];
        ensure!(
            slot["slot"] == "forgotten" && slot["state"] == "unused",
            "{slot}"
        );
        ensure!(
            slot["culprit"] == "no consumer" && slot["ours"] == false,
            "{slot}"
        );
        ensure!(slot["headroom_limit"] == "budget", "{slot}");
        let (held, room) = (&slot["retained_bytes"], &slot["headroom_bytes"]);
        let all = held.as_u64().unwrap_or(0) + room.as_u64().unwrap_or(0);
        ensure!(all == 200 << 20, "{slot}");
        ensure!(found["server"]["keep_size_bytes"] == 1 << 30, "{found}");
        ensure!(found["unseen"] == serde_json::json!([]), "{found}");
        // Over the budget.
        let over = object(&[&url, "--json", "--budget", "100MiB", "--for", "1s"])?;
        ensure!(over["slots"][0]["danger"] == "reached", "{over}");
        ensure!(over["slots"][0]["seconds_to_limit"] == 0.0, "{over}");
    }
    Ok(())
}

#[test]
fn the_slot_of_a_configuration_is_marked_and_its_consumer_named() -> Result<()> {
    let server = server(PgVersion::V17)?;
    let mut bed = Bed::on(
        &server,
        "slots_ours",
        "create table t (id int primary key); create publication walgate for table t;",
    )?;
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let program = bed.serve()?;
    let config = config.to_str().context("a path")?;
    let found = object(&["-c", config, "--json"])?;
    let slot = &found["slots"][0];
    ensure!(slot["ours"] == true && slot["state"] == "active", "{slot}");
    // A short look at a server that may be quiet promises nothing of its 1 GiB.
    ensure!(
        slot["danger"] == "none" || slot["danger"] == "unknown",
        "{slot}"
    );
    ensure!(slot["culprit"] == "-", "{slot}");
    let consumer = slot["consumer"].as_str().unwrap_or_default();
    ensure!(consumer.starts_with("application \"walgate\""), "{slot}");
    let text = said(&["-c", config])?;
    ensure!(text.contains("slots_ours*"), "{text}");
    // In use: never dropped.
    let ended = run(&["drop", "slots_ours", "-c", config, "--yes"])?;
    refused(&ended, 5, &["in use by application \"walgate\""], &[])?;
    walgate_tests::stop(program, &[walgate_tests::CREATED])?;
    let ended = run(&["drop", "slots_ours", "-c", config, "--yes"])?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let text = ended.lines.join("\n");
    ensure!(
        text.contains("the next start stops with exit code 4"),
        "{text}"
    );
    ensure!(!exists(&server, "slots_ours")?);
    Ok(())
}

#[test]
fn watching_goes_on_through_a_restart_until_a_signal() -> Result<()> {
    let mut server = server(PgVersion::V17)?;
    create(&server, "s")?;
    let url = server.url();
    let words = ["slots", &url, "--watch", "--interval", "500ms", "--json"];
    let mut program = Program::start(words)?;
    let first: Value = serde_json::from_str(&program.line()?)?;
    ensure!(first["slots"][0]["slot"] == "s", "{first}");
    server.restart(walgate_throwaway::StopMode::Immediate)?;
    fill(&server, 1)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let next: Value = serde_json::from_str(&program.line()?)?;
        if next["server"]["wal_lsn"] != first["server"]["wal_lsn"] {
            break;
        }
        ensure!(Instant::now() < deadline, "nothing new: {next}");
    }
    program.signal("INT")?;
    let ended = program.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    quiet(&ended.stderr, &["can't look at the slots; trying again"])
}

#[test]
fn slots_are_created_and_dropped_with_care() -> Result<()> {
    let server = server(PgVersion::V17)?;
    let url = server.url();
    let text = said(&["create", "shop", &url, "--failover"])?;
    ensure!(
        text.contains("created slot shop in database postgres, at "),
        "{text}"
    );
    ensure!(text.contains("walgate slots drop shop"), "{text}");
    let again = run(&["create", "shop", &url])?;
    refused(&again, 2, &["slot shop", "exists already"], &[])?;
    let other = run(&["drop", "shops", &url, "--yes"])?;
    refused(&other, 2, &["there is no slot shops"], &[])?;
    // Nobody can be asked: nothing is dropped.
    let unasked = run(&["drop", "shop", &url])?;
    refused(&unasked, 2, &["needs a yes"], &[])?;
    ensure!(exists(&server, "shop")?);
    server.sql("insert into t values (1)")?;
    let text = said(&["drop", "shop", &url, "--yes"])?;
    ensure!(
        text.contains("can never read what was committed from "),
        "{text}"
    );
    ensure!(text.ends_with("dropped slot shop"), "{text}");
    ensure!(!exists(&server, "shop")?);
    // Behind a transaction that does not end.
    let mut open = server.admin()?;
    open.query("begin; insert into t values (2)")?;
    let ended = run(&["create", "shop", &url])?;
    refused(
        &ended,
        1,
        &["creating slot shop waits for transactions"],
        &[],
    )?;
    ensure!(
        ended.stderr.contains("application \"walgate-test\""),
        "{}",
        ended.stderr
    );
    ensure!(!exists(&server, "shop")?);
    Ok(())
}

#[test]
fn few_rights_and_no_server() -> Result<()> {
    let server = server(PgVersion::V17)?;
    create(&server, "s")?;
    server.sql("create role nobody login")?;
    let url = server.url_of("nobody", "postgres");
    let text = said(&[&url, "--for", "500ms"])?;
    ensure!(text.contains("GRANT pg_monitor TO nobody"), "{text}");
    for words in [
        ["drop", "s", &url, "--yes"],
        ["create", "t", &url, "--failover"],
    ] {
        let ended = run(&words)?;
        refused(&ended, 3, &["role nobody may not"], &[])?;
        ensure!(
            ended.stderr.contains("ALTER ROLE nobody REPLICATION"),
            "{}",
            ended.stderr
        );
    }
    ensure!(exists(&server, "s")? && !exists(&server, "t")?);
    let ended = run(&["postgres://nobody@127.0.0.1:1/x"])?;
    failed(&ended, 2, &["127.0.0.1:1"])
}
