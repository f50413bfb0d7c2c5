//! Kafka is away under load, with no more than memory to bridge it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, Ledger, Workload, ledger, replay, seed, stop, until};
use walgate_throwaway::{Kafka, KafkaOptions, PgVersion, Postgres};

use super::watched::{Watched, says, small};
use crate::sink_faults::topics::{create, kafka_sink, values};
use crate::source_faults::ledger_bed::without_repeats;
use crate::watch::status;

const TOPIC: &str = "ledger";

#[test]
fn a_kafka_that_is_away_is_named_for_what_the_slot_holds_back() -> Result<()> {
    let seed = seed();
    away(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn away(seed: u64) -> Result<()> {
    let (broker, proxy) = Kafka::start_behind_proxy(&KafkaOptions::default())?;
    create(&broker.bootstrap(), TOPIC, 3, &[])?;
    let server = Postgres::start(&small(PgVersion::V18))?;
    let guard = "headroom = [80, 60]\nsink_down = [\"5s\"]\n";
    let mut watched = Watched::on(&server, "away", guard)?;
    let sections = watched.sections(guard, "");
    let watch = "[watch]\ninterval = \"500ms\"\n";
    let budget = format!("{watch}budget = \"64MiB\"\n");
    ensure!(sections.contains(watch), "{sections}");
    watched.bed.more = sections.replace(watch, &budget) + "[journal]\nmemory = \"8MiB\"\n";
    let sink = "topic = \"{table}\"\ntombstones = false\nbuffer = \"8MiB\"";
    let sink = kafka_sink(&proxy.address().to_string(), sink);
    watched.bed.configure(&sink)?;
    let (mut program, at) = watched.serve()?;
    let workload = Workload::start(&watched.bed.url, seed, 2, Duration::from_millis(6));
    watched.bed.until_confirmed(&mut program)?;
    ensure!(watched.receiver.all().is_empty(), "all is well");

    proxy.refuse();
    proxy.cut();
    told_of(&watched, &at)?;
    proxy.accept();
    for rule in ["sink_down", "headroom"] {
        until("it is over", || {
            watched.bed.sql("checkpoint;")?;
            std::thread::sleep(Duration::from_millis(200));
            let told = watched.told(rule, |told| told["kind"] == "resolved");
            Ok(told.is_some())
        })
        .with_context(|| rule.to_owned())?;
    }
    workload.stop()?;
    watched.bed.until_confirmed(&mut program)?;
    let found = status(&at)?;
    ensure!(found["sinks"][0]["state"] == "running", "{found}");
    ensure!(found["ready"] == true, "{found}");
    stop(program, &[CREATED, "kafka is unreachable", "sink kafka"])?;
    let mut folded = Ledger::new();
    for events in values(&broker.bootstrap(), TOPIC)? {
        // Each version of a row, and in order. Where an answer was lost it may be there again, the same.
        folded.extend(replay(&without_repeats(&events)?)?);
    }
    ensure!(
        folded == ledger(&mut watched.bed.admin()?)?,
        "the fold of the topic is not the table"
    );
    Ok(())
}

/// Kafka is away, and that is told with what it does to the server.
fn told_of(watched: &Watched, at: &str) -> Result<()> {
    watched
        .receiver
        .wait_for("sink_down", "raised", "warning")?;
    // Log of others comes on top of ours.
    watched.hold(16)?;
    watched.receiver.wait_for("headroom", "raised", "warning")?;
    watched.hold(32)?;
    watched
        .receiver
        .wait_for("headroom", "escalated", "critical")?;
    let told = watched.told("headroom", |told| told["kind"] == "escalated");
    let told = told.context("a message")?;
    says(
        &told,
        "culprit",
        &["away holds back", "sink kafka is down for"],
    )?;
    says(&told, "command", &["bring sink kafka back"])?;
    says(&told, "forecast", &["left until the budget"])?;
    ensure!(told["facts"]["seconds_to_limit"].is_u64(), "{told}");
    let down = watched.told("sink_down", |_| true).context("a message")?;
    says(&down, "summary", &["sink kafka has been down for"])?;
    let slot = watched.until(at, "the forecast is finite", |slot| {
        slot["culprit"] == "sink down" && slot["seconds_to_limit"].is_number()
    })?;
    let danger = &slot["danger"];
    ensure!(danger == "near" || danger == "reached", "{slot}");
    ensure!(slot["headroom_limit"] == "budget", "{slot}");
    watched.unhealthy(&["NOT HEALTHY", "sink kafka fails"])?;
    // What the server is told of the end of the log is none of a sink's business.
    ensure!(status(at)?["source"]["state"] == "streaming");
    Ok(())
}
