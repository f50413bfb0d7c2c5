//! A stop with a journal on disk: what a sink has not got waits there, so nobody waits for the sink.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use walgate_tests::{Program, clean, ends, ledger, replay, until};
use walgate_throwaway::shared_kafka;

use super::beds::{DOWN, bed, begin_and_take_down, once_in_order, out, up};
use crate::sink_faults::topics::{create, kafka_sink, values};

/// Far under `shutdown_timeout`, 20 s, and enough for a slow machine.
const QUICK: Duration = Duration::from_secs(8);

const BACKLOG: &str =
    "insert into ledger select id, 1, 0, repeat('x', 30) from generate_series(1, 60000) id;";

/// Asks it to stop; it is quick and says what waits.
fn stop_quickly(program: Program, waits: bool) -> Result<()> {
    let asked = Instant::now();
    program.signal("TERM")?;
    let ended = program.wait()?;
    let took = asked.elapsed();
    clean(&ended, DOWN)?;
    ensure!(took < QUICK, "it took {took:?}: {}", ended.stderr);
    ensure!(
        ended.stderr.contains("has not got waits in the journal") || !waits,
        "{}",
        ended.stderr
    );
    Ok(())
}

#[test]
fn while_the_sink_is_down() -> Result<()> {
    let mut bed = bed("journal_stop_down")?;
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    bed.sql(BACKLOG)?;
    bed.until_confirmed(&mut program)?;
    stop_quickly(program, true)?;
    let confirmed = bed.confirmed()?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    bed.catch_up(&[])?;
    ensure!(bed.confirmed()? >= confirmed);
    let all = out(&bed)?;
    once_in_order(&all)?;
    ensure!(replay(&all)? == ledger(&mut bed.admin()?)?);
    Ok(())
}

/// The sink works, and has a backlog that takes longer than a stop may: it stops in the midst, and
/// goes on there.
#[test]
fn with_a_backlog() -> Result<()> {
    let mut bed = bed("journal_stop_backlog")?;
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    bed.sql(BACKLOG)?;
    bed.sql(&BACKLOG.replace(
        "insert into ledger select id",
        "insert into ledger select id + 60000",
    ))?;
    bed.until_confirmed(&mut program)?;
    stop_quickly(program, true)?;
    let bootstrap = shared_kafka()?.bootstrap();
    let topic = "journal-backlog";
    create(&bootstrap, topic, 1, &[])?;
    let kafka = kafka_sink(
        &bootstrap,
        &format!("topic = \"{topic}\"\nbuffer = \"1MiB\""),
    );
    let kafka = kafka.replace("[sinks.kafka]", "[sinks.out]");
    bed.configure(&format!("{kafka}[sinks.out.batch]\nchanges = 100\n"))?;
    let held = || Ok::<_, anyhow::Error>(ends(&bootstrap, topic)?.iter().sum::<i64>());
    let mut cut = 0;
    for _ in 0..4 {
        let before = held()?;
        let program = bed.serve()?;
        until("something arrives", || {
            Ok(held()? > before || before == 120_000)
        })?;
        stop_quickly(program, false)?;
        cut += usize::from(held()? < 120_000);
    }
    ensure!(cut > 0, "a stop was in the midst of the backlog");
    bed.catch_up(&[])?;
    let all = values(&bootstrap, topic)?.concat();
    once_in_order(&all)?;
    ensure!(all.len() == 120_000, "{} events", all.len());
    Ok(())
}

/// `--until now` delivers everything, however long it takes.
#[test]
fn a_drain_delivers_everything() -> Result<()> {
    let mut bed = bed("journal_until")?;
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    bed.sql(BACKLOG)?;
    bed.until_confirmed(&mut program)?;
    stop_quickly(program, true)?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    bed.sql("delete from ledger where id > 1000;")?;
    let ended = bed.catch_up(&[])?;
    ensure!(
        !ended.stderr.contains("waits in the journal"),
        "{}",
        ended.stderr
    );
    let all = out(&bed)?;
    once_in_order(&all)?;
    ensure!(all.len() == 60_000 + 59_000, "{} events", all.len());
    replay(&all).context("in order").map(drop)
}
