//! The heartbeat: written, seen to come back, and never delivered.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use walgate_tests::{Bed, CREATED, clean, events, file_sink, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use crate::watch::{SHOWN, address, get, metric, status};

const SETUP: &str = "create table t (id int primary key); create publication walgate for table t;";

/// Whoever waits for one heartbeat for two seconds is told.
const LATE: &str =
    "[guard]\nheartbeat_late = [\"2s\"]\nraise_after = \"1s\"\nsettle_after = \"2s\"\n";

/// The alert that fires because of the heartbeat.
fn late(address: &str) -> Result<Option<Value>> {
    let status = status(address)?;
    let alerts = status["guard"]["alerts"].as_array().context("alerts")?;
    let mut alerts = alerts.iter();
    Ok(alerts
        .find(|alert| alert["rule"] == "heartbeat_late")
        .cloned())
}

#[test]
fn a_heartbeat_comes_back_and_is_not_delivered() -> Result<()> {
    for version in [PgVersion::V14, PgVersion::V18] {
        let mut bed = Bed::shared(version, "heartbeat", SETUP)?;
        bed.source = "heartbeat = \"1s\"".to_owned();
        let out = bed.path("out.ndjson");
        bed.configure(&file_sink(&out))?;
        bed.sql("select pg_create_logical_replication_slot('heartbeat_seen', 'pgoutput')")?;
        bed.more = SHOWN.to_owned();
        bed.write_config()?;
        let mut service = bed.serve()?;
        let at = address(&mut service)?;
        let beats =
            "select count(*) from pg_logical_slot_peek_binary_changes('heartbeat_seen', null, null,
            'proto_version', '1', 'publication_names', 'walgate', 'messages', 'true')
            where position('heartbeat'::bytea in data) > 0";
        let mut admin = bed.admin()?;
        until("three heartbeats are written", || {
            Ok(admin.query_one(beats, &[])?.get::<_, i64>(0) >= 3)
        })?;
        bed.sql("select pg_drop_replication_slot('heartbeat_seen')")?;
        until("they have come back, and that is shown", || {
            let page = get(&at, "/metrics")?.1;
            let sent = metric(&page, "walgate_heartbeat_sent_total")?;
            let back = metric(&page, "walgate_heartbeat_last_received_timestamp_seconds")?;
            let took = metric(&page, "walgate_heartbeat_latency_seconds")?;
            Ok(sent >= 3.0 && back > 1e9 && took < 60.0)
        })?;
        let shown = status(&at)?["source"]["heartbeat"].clone();
        ensure!(shown["sent"].as_u64() >= Some(3), "{version}: {shown}");
        ensure!(shown["error"].is_null(), "{version}: {shown}");
        // A message of the user's with the same prefix is one.
        bed.sql(
            "insert into t values (1); select pg_logical_emit_message(true, 'walgate', 'mine')",
        )?;
        bed.until_confirmed(&mut service)?;
        stop(service, &[CREATED])?;
        let found = events(&out)?;
        let ops: Vec<_> = found.iter().map(|event| event["op"].clone()).collect();
        ensure!(ops == ["insert", "message"], "{version}: {found:?}");
        ensure!(found[1]["content"] == json!("mine"), "{found:?}");
    }
    Ok(())
}

#[test]
fn a_role_without_the_right_is_told_once() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "heartbeat_right", SETUP)?;
    bed.sql(
        "create role heartbeat_weak login replication;
         revoke execute on function pg_logical_emit_message(boolean, text, text, boolean) from public",
    )?;
    bed.source = "heartbeat = \"1s\"".to_owned();
    bed.url = bed.url.replace("postgres@", "heartbeat_weak@");
    let out = bed.path("out.ndjson");
    bed.more = format!("{SHOWN}{LATE}");
    bed.configure(&file_sink(&out))?;
    let refused = "no heartbeat is written: the role may not call pg_logical_emit_message";
    let mut service = bed.serve()?;
    service.wait_for_log(refused)?;
    bed.sql("insert into t values (1)")?;
    bed.until_confirmed(&mut service)?;
    let at = address(&mut service)?;
    until("it is told that nothing proves the way", || {
        Ok(late(&at)?.is_some())
    })?;
    let told = late(&at)?.context("it does not end by itself")?;
    let summary = told["summary"].as_str().unwrap_or_default();
    ensure!(summary.starts_with("no heartbeat could be written for"));
    ensure!(summary.contains("pg_logical_emit_message"), "{summary}");
    let shown = status(&at)?["source"]["heartbeat"].clone();
    ensure!(shown["sent"] == 0 && shown["error"].is_string(), "{shown}");
    let alert = "alert warning: no heartbeat could be written for";
    let ended = stop(service, &[CREATED, refused, alert])?;
    clean(&ended, &[CREATED, refused, alert])?;
    ensure!(
        ended.stderr.matches(refused).count() == 1,
        "{}",
        ended.stderr
    );
    ensure!(events(&out)?.len() == 1);
    Ok(())
}

/// The process of the server that sends to us, stopped until this is dropped.
struct Stopped(i32);

impl Stopped {
    fn at(pid: i32) -> Result<Self> {
        signal("STOP", pid)?;
        Ok(Self(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that is gone needs it no more.
        let _gone = signal("CONT", self.0);
    }
}

fn signal(name: &str, pid: i32) -> Result<()> {
    let done = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status()?;
    ensure!(done.success(), "kill -{name} {pid}: {done}");
    Ok(())
}

/// A connection that stands, and brings nothing: nobody else would notice for a minute.
#[test]
fn one_that_does_not_come_back_is_an_alert_until_it_does() -> Result<()> {
    // A process that stands still keeps others from dropping their databases.
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = Bed::on(&server, "heartbeat_late", SETUP)?;
    bed.source = "heartbeat = \"1s\"".to_owned();
    bed.more = format!("{SHOWN}{LATE}");
    bed.configure(&file_sink(&bed.path("out.ndjson")))?;
    let mut service = bed.serve()?;
    let at = address(&mut service)?;
    until("heartbeats come back", || {
        let page = get(&at, "/metrics")?.1;
        Ok(metric(&page, "walgate_heartbeat_last_received_timestamp_seconds")? > 1e9)
    })?;
    ensure!(late(&at)?.is_none());
    let stopped = Stopped::at(bed.walsender()?.context("a walsender")?)?;
    until("it is told that one is late", || Ok(late(&at)?.is_some()))?;
    let told = late(&at)?.context("it stands still")?;
    let summary = told["summary"].as_str().unwrap_or_default();
    ensure!(summary.starts_with("a heartbeat was committed"), "{told}");
    ensure!(told["severity"] == "warning", "{told}");
    let page = get(&at, "/metrics")?.1;
    ensure!(metric(&page, "walgate_heartbeat_due_timestamp_seconds")? > 1e9);
    drop(stopped);
    until("it is over", || Ok(late(&at)?.is_none()))?;
    service.signal("TERM")?;
    let ended = service.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    Ok(())
}
