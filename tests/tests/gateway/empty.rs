//! A topic without events: nobody has written to it yet, or its retention has taken everything.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Program, ends, stop, until};
use walgate_throwaway::{PgVersion, shared_kafka};

use super::bench::Front;
use super::window::delete_below;
use crate::push::address;
use crate::push::client::Client;
use crate::watch;

const SETUP: &str = "create table t (id int primary key); create publication walgate for table t;";

/// Where the log of a topic begins that had no event.
const EMPTY: &str = "0000000000000001-00000000";

/// What it says of a gap.
const LOST: &[&str] = &[
    "the topic says that changes are lost",
    "the topic had no event when the gateway began",
    "changes are lost for this sink",
];

/// What a gateway says of itself over HTTP, once it has looked how far the topic reaches.
fn looked(gateway: &mut Program) -> Result<Value> {
    let http = watch::address(gateway)?;
    let (code, body) = watch::get(&http, "/readyz")?;
    ensure!(code == 200, "{body}");
    let mut status = Value::Null;
    until("it has looked how far the topic reaches", || {
        status = watch::status(&http)?;
        Ok(status["gateway"]["behind_records"] == 0)
    })?;
    ensure!(status["source"]["state"] == "streaming", "{status}");
    ensure!(status["gateway"]["state"] == "live", "{status}");
    Ok(status)
}

fn row(client: &mut Client) -> Result<i64> {
    let event = client.event()?;
    event["key"]["id"]
        .as_i64()
        .with_context(|| event.to_string())
}

#[test]
fn a_topic_without_events_is_one_that_was_read() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let front = Front::new(PgVersion::V18, "gateway_empty", SETUP, bootstrap)?;
    // The topic is there: the sink that is to write it has made it. A gateway takes clients before anybody
    // has written anything, and says what it reads.
    let mut gateway = front.gateway("one")?;
    let at = address(&mut gateway)?;
    let status = looked(&mut gateway)?;
    let said = &status["gateway"];
    ensure!(said["topic"] == front.topic.as_str(), "{status}");
    ensure!(
        said["position"] == EMPTY && said["next_offset"] == 0,
        "{status}"
    );
    ensure!(said["window"]["oldest"] == EMPTY, "{status}");
    let mut live = Client::connect(&at, "?table=public.t")?;
    ensure!(live.answer("ready")?["position"] == EMPTY);
    // There are no rows to begin with, and it says where they are.
    let refused = Client::connect(&at, "?snapshot=true")?.answer("closed")?;
    let reason = refused["reason"].as_str().unwrap_or_default();
    ensure!(
        refused["code"] == 4411 && reason.contains("ask a walgate run for the rows"),
        "{refused}"
    );
    let run = front.bed.serve()?;
    front.bed.sql("insert into t values (1)")?;
    ensure!(row(&mut live)? == 1);
    // What the topic may have had before is nowhere: who was there is not told that it has missed nothing.
    let mut stale = Client::connect(&at, "?after=0/2000")?;
    stale.answer("resync_required")?;
    // Who was there from the begin has missed nothing.
    let mut early = Client::connect(&at, &format!("?after={EMPTY}&table=public.t"))?;
    ensure!(row(&mut early)? == 1);
    let last = live.last.clone().context("an id")?;
    stop(run, &[])?;
    stop(gateway, &[])?;

    // Its retention takes everything. What is in the window is served all the same.
    let end = ends(&front.bootstrap, &front.topic)?[0];
    delete_below(&front, end)?;
    let mut gateway = front.gateway("one")?;
    let at = address(&mut gateway)?;
    let status = looked(&mut gateway)?;
    ensure!(status["gateway"]["next_offset"] == end, "{status}");
    let mut early = Client::connect(&at, &format!("?after={EMPTY}&table=public.t"))?;
    ensure!(row(&mut early)? == 1);
    early.answer("ready")?;
    // Whether there was more behind it, nobody knows when the next event comes.
    let run = front.bed.serve()?;
    front.bed.sql("insert into t values (2)")?;
    ensure!(early.event()?["op"] == "gap");
    ensure!(row(&mut early)? == 2);
    let mut late = Client::connect(&at, &format!("?after={last}&table=public.t"))?;
    late.answer("resync_required")?;
    let config = front.bed.path("one.toml");
    let asked = Program::start(["status", "-c", config.to_str().context("a path")?])?.wait()?;
    let line = format!("gateway    topic {}: live; at ", front.topic);
    ensure!(
        asked.lines.iter().any(|said| said.starts_with(&line)),
        "{:?}{}",
        asked.lines,
        asked.stderr
    );
    stop(gateway, LOST)?;
    stop(run, &[])?;
    Ok(())
}
