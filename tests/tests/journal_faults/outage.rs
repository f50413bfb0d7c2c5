//! Row 55 with the journal on disk: Kafka is away, and the source does not notice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{
    AFTER_A_KILL, Bed, Ledger, Workload, ledger, quiet, replay, seed, stop, until,
};
use walgate_throwaway::{Kafka, KafkaOptions};

use super::beds::{DOWN, bed, begin_and_take_down, kill, once_in_order, out, up, work};
use crate::sink_faults::topics::{create, kafka_sink, values};

const TOPIC: &str = "ledger";

fn known() -> Vec<&'static str> {
    DOWN.iter().chain(AFTER_A_KILL).copied().collect()
}

/// What Kafka has: each partition in order, nothing twice.
fn folded(bootstrap: &str) -> Result<Ledger> {
    let mut folded = Ledger::new();
    for events in values(bootstrap, TOPIC)? {
        once_in_order(&events)?;
        folded.extend(replay(&events)?);
    }
    Ok(folded)
}

/// Kafka is down for the whole time: what commits is confirmed, a file beside it stays at the head,
/// kill -9 in between changes nothing; when Kafka is back everything is there, once, in order.
#[test]
fn kafka_is_down_and_the_slot_goes_on() -> Result<()> {
    let seed = seed();
    outage(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn outage(seed: u64) -> Result<()> {
    let mut broker = Kafka::start(&KafkaOptions::default())?;
    let bootstrap = broker.bootstrap();
    create(&bootstrap, TOPIC, 3, &[])?;
    let mut bed = bed("journal_outage")?;
    let kafka = kafka_sink(&bootstrap, "topic = \"{table}\"\ntombstones = false");
    let file = up(&bed);
    bed.configure(&format!("{kafka}\n{file}"))?;
    bed.begin()?;
    broker.stop()?;
    let workload = Workload::start(&bed.url, seed, 2, Duration::from_millis(4));
    for _ in 0..3 {
        let mut program = bed.serve()?;
        work(&workload, 60)?;
        bed.until_confirmed(&mut program)?;
        let confirmed = bed.confirmed()?;
        until("the file is at the head", || {
            let all = out(&bed)?;
            Ok(all.last().map(walgate_tests::commit_lsn).transpose()? >= Some(confirmed))
        })?;
        quiet(&kill(program)?, &known())?;
    }
    let program = bed.serve()?;
    work(&workload, 60)?;
    ensure!(values(&bootstrap, TOPIC).is_err(), "Kafka is down");
    broker.start_again()?;
    work(&workload, 60)?;
    workload.stop()?;
    let table = ledger(&mut bed.admin()?)?;
    until("everything is in Kafka", || {
        Ok(folded(&bootstrap).is_ok_and(|folded| folded == table))
    })?;
    stop(program, &known())?;
    ensure!(folded(&bootstrap)? == table, "nothing comes again");
    let all = out(&bed)?;
    once_in_order(&all)?;
    ensure!(replay(&all)? == table, "the file has everything too");
    Ok(())
}

/// A sink that is added later starts at what is confirmed, and a sink that is down meanwhile still
/// gets everything.
#[test]
fn a_sink_that_is_added_later() -> Result<()> {
    let mut bed = bed("journal_added")?;
    begin_and_take_down(&mut bed)?;
    bed.sql("insert into ledger values (1, 1, 0, 'x');")?;
    let mut program = bed.serve()?;
    bed.until_confirmed(&mut program)?;
    stop(program, DOWN)?;
    let new = bed.path("new.ndjson");
    let sink = format!(
        "[sinks.new]\ntype = \"file\"\npath = \"{}\"\n",
        new.display()
    );
    let sinks = format!("{}\n{sink}", up(&bed));
    bed.configure(&sinks)?;
    bed.sql("insert into ledger values (2, 1, 0, 'x');")?;
    bed.catch_up(&[])?;
    let ids = |events: Vec<Value>| -> Vec<_> {
        events
            .iter()
            .map(|event| event["key"]["id"].clone())
            .collect()
    };
    let (old, new) = (ids(out(&bed)?), ids(walgate_tests::events(&new)?));
    ensure!(old == [1, 2] && new == [2], "{old:?} {new:?}");
    Ok(())
}

/// The fsync confirms, so nobody needs to be required.
#[test]
fn without_a_required_sink() -> Result<()> {
    let mut bed = bed("journal_optional")?;
    let sinks = format!("{}required = false\n", up(&bed));
    bed.configure(&sinks)?;
    bed.begin()?;
    bed.sql("insert into ledger values (1, 1, 0, 'x');")?;
    let mut program = bed.serve()?;
    bed.until_confirmed(&mut program)?;
    until("it arrives", || Ok(out(&bed)?.len() == 1))?;
    stop(program, &[])?;
    the_checkpoint_is_enough(&bed)
}

/// With a PostgreSQL that has forgotten the last confirmations the checkpoint keeps a clean stop
/// free of repeats, and the journal says where the source begins.
fn the_checkpoint_is_enough(bed: &Bed) -> Result<()> {
    let before = out(bed)?.len();
    bed.catch_up(&[])?;
    ensure!(out(bed)?.len() == before, "nothing comes again");
    Ok(())
}
