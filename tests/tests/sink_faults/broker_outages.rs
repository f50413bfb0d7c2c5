//! A broker that goes away under load, in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{
    AFTER_A_KILL, Bed, CREATED, LEDGER, Ledger, Program, Workload, commit_lsn, ends, ledger, quiet,
    replay, seed, stop, until,
};
use walgate_throwaway::{Direction, Kafka, KafkaOptions, PgVersion};

use super::topics::{create, kafka_sink, values};

/// What a service may hold: the journal, librdkafka's buffer, and 64 MiB for everything else.
const MOST_MEMORY_KIB: u64 = (64 + 8 + 8) << 10;

/// The topic of these tests.
const TOPIC: &str = "ledger";

/// What an outage may say. How often is asserted where it matters.
const OUTAGE: &[&str] = &[
    CREATED,
    "kafka is unreachable",
    "sink kafka",
    "sink can't be opened yet: kafka at",
];

fn bed(name: &str, bootstrap: &str) -> Result<Bed> {
    let setup = format!("{LEDGER};\ncreate publication walgate for table ledger;");
    let mut bed = Bed::shared(PgVersion::V17, name, &setup)?;
    let sink = "topic = \"{table}\"\ntombstones = false\nbuffer = \"8MiB\"";
    bed.configure(&format!(
        "[journal]\nmemory = \"8MiB\"\n\n{}",
        kafka_sink(bootstrap, sink)
    ))?;
    Ok(bed)
}

/// Waits until the workload has committed so many more transactions: time passes for everybody.
fn work(workload: &Workload, transactions: u64) -> Result<()> {
    let from = workload.committed();
    until("the workload goes on", || {
        Ok(workload.committed() >= from + transactions)
    })
}

/// What was confirmed, and what Kafka then held.
struct Seen {
    confirmed: u64,
    held: Vec<i64>,
}

fn look(bed: &mut Bed, bootstrap: &str) -> Result<Seen> {
    let confirmed = bed.confirmed()?;
    Ok(Seen {
        confirmed,
        held: ends(bootstrap, TOPIC)?,
    })
}

/// Nothing that was confirmed was missing in Kafka; the rows of a key come in order, whole, and
/// the fold of all is the table.
fn check(bed: &mut Bed, bootstrap: &str, seen: &[Seen]) -> Result<usize> {
    let partitions = values(bootstrap, TOPIC)?;
    let mut folded = Ledger::new();
    let mut repeats = 0;
    for events in &partitions {
        let unique = without_repeats(events)?;
        repeats += events.len() - unique.len();
        folded.extend(replay(unique)?);
    }
    ensure!(
        folded == ledger(&mut bed.admin()?)?,
        "the fold of the events is the table"
    );
    for Seen { confirmed, held } in seen {
        for (events, held) in partitions.iter().zip(held) {
            let held: BTreeSet<_> = events
                .iter()
                .take(usize::try_from(*held)?)
                .map(|event| event["id"].as_str())
                .collect();
            for event in events {
                ensure!(
                    commit_lsn(event)? >= *confirmed || held.contains(&event["id"].as_str()),
                    "{confirmed:X} was confirmed without {event}"
                );
            }
        }
    }
    Ok(repeats)
}

/// The events of a partition by id; a repeat is the same to the byte.
fn without_repeats(events: &[Value]) -> Result<Vec<&Value>> {
    let mut unique: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in events {
        let id = event["id"].as_str().context("an id")?;
        if let Some(known) = unique.get(id) {
            ensure!(*known == event, "{id} was repeated with another content");
        } else {
            let highest = unique.last_key_value().map_or("", |(highest, _)| highest);
            ensure!(id > highest, "{id} comes first behind {highest}");
        }
        unique.insert(id, event);
    }
    Ok(unique.into_values().collect())
}

fn bounded(program: &Program) -> Result<()> {
    let peak = program.memory_kib("VmHWM")?;
    ensure!(peak < MOST_MEMORY_KIB, "it has held {peak} KiB");
    Ok(())
}

/// Row 55: the broker is restarted, killed and frozen under load, and killed together with
/// Walgate. Nothing that is committed is missing, keys keep their order, and nothing is confirmed
/// that Kafka does not hold; memory is bounded, and the log has one line for each change.
#[test]
fn a_broker_that_stops_dies_and_freezes() -> Result<()> {
    let seed = seed();
    torment(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn torment(seed: u64) -> Result<()> {
    let mut broker = Kafka::start(&KafkaOptions::default())?;
    let bootstrap = broker.bootstrap();
    create(&bootstrap, TOPIC, 3, &[])?;
    let mut bed = bed("outage_broker", &bootstrap)?;
    let mut program = bed.serve()?;
    let workload = Workload::start(&bed.url, seed, 2, Duration::from_millis(6));
    let mut seen = Vec::new();
    work(&workload, 40)?;
    seen.push(look(&mut bed, &bootstrap)?);
    // In order.
    broker.stop()?;
    work(&workload, 60)?;
    broker.start_again()?;
    seen.push(look(&mut bed, &bootstrap)?);
    work(&workload, 20)?;
    // Killed.
    broker.kill_9()?;
    work(&workload, 60)?;
    broker.start_again()?;
    seen.push(look(&mut bed, &bootstrap)?);
    work(&workload, 20)?;
    // Frozen: connections stay, nothing answers.
    broker.pause()?;
    work(&workload, 100)?;
    let frozen = bed.confirmed()?;
    broker.resume()?;
    until("it goes on behind the frozen broker", || {
        Ok(bed.confirmed()? > frozen)
    })?;
    seen.push(look(&mut bed, &bootstrap)?);
    bounded(&program)?;
    // The broker first, then Walgate: what is confirmed now, Kafka has when it is back.
    broker.kill_9()?;
    work(&workload, 30)?;
    program.signal("KILL")?;
    let log = program.wait()?.stderr;
    quiet(&log, OUTAGE)?;
    for said in ["kafka is unreachable", "kafka is reachable again"] {
        let lines = log.matches(said).count();
        ensure!(
            lines <= 4,
            "{said} was said {lines} times for four outages:\n{log}"
        );
    }
    ensure!(
        log.contains("kafka is unreachable"),
        "an outage is told: {log}"
    );
    broker.start_again()?;
    seen.push(look(&mut bed, &bootstrap)?);
    program = bed.serve()?;
    work(&workload, 20)?;
    workload.stop()?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[OUTAGE, AFTER_A_KILL].concat())?;
    check(&mut bed, &bootstrap, &seen).map(drop)
}

/// Row 55: a broker that is away when Walgate starts: it waits, and makes no slot before it knows
/// that the topics are there.
#[test]
fn a_broker_that_is_away_at_the_start() -> Result<()> {
    let mut broker = Kafka::start(&KafkaOptions::default())?;
    let bootstrap = broker.bootstrap();
    create(&bootstrap, TOPIC, 1, &[])?;
    let bed = bed("outage_start", &bootstrap)?;
    bed.begin()?;
    bed.sql("insert into ledger values (1, 1, 0, 'x');")?;
    broker.stop()?;
    let mut program = bed.start()?;
    program.wait_until("that the broker is away is told", |log| {
        log.contains("WARN")
    })?;
    broker.start_again()?;
    bed.until_confirmed(&mut program)?;
    ensure!(values(&bootstrap, TOPIC)?.concat().len() == 1);
    stop(program, OUTAGE).map(drop)
}

/// Row 56: the broker has written, and its answer is lost. The same batch is sent again and the
/// broker knows it: nothing is missing, nothing is there twice. When Walgate is killed meanwhile,
/// what repeats has the same ids.
#[test]
fn answers_that_are_lost() -> Result<()> {
    let seed = seed();
    answers_lost(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn answers_lost(seed: u64) -> Result<()> {
    let (broker, proxy) = Kafka::start_behind_proxy(&KafkaOptions::default())?;
    let direct = broker.bootstrap();
    create(&direct, TOPIC, 3, &[])?;
    let mut bed = bed("outage_answers", &proxy.address().to_string())?;
    let mut program = bed.serve()?;
    let workload = Workload::start(&bed.url, seed, 2, Duration::from_millis(6));
    // Only a producer that has its identity and knows the topic's leaders writes.
    bed.until_confirmed(&mut program)?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let lost = lose_answers(&mut bed, &direct, &proxy, &workload, &mut seen);
        lost.with_context(|| program.stderr())?;
        proxy.cut();
        proxy.resume();
        bed.until_confirmed(&mut program)?;
    }
    ensure!(
        check_repeats(&direct)? == 0,
        "an idempotent producer repeats nothing"
    );
    // And Walgate dies with the answers unheard; again, where it had just heard of everything.
    for _ in 0..5 {
        lose_answers(&mut bed, &direct, &proxy, &workload, &mut seen)?;
        program.signal("KILL")?;
        quiet(&program.wait()?.stderr, &[OUTAGE, AFTER_A_KILL].concat())?;
        proxy.cut();
        proxy.resume();
        seen.push(look(&mut bed, &direct)?);
        program = bed.serve()?;
        bed.until_confirmed(&mut program)?;
        if check_repeats(&direct)? > 0 {
            break;
        }
    }
    workload.stop()?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[OUTAGE, AFTER_A_KILL].concat())?;
    let repeats = check(&mut bed, &direct, &seen)?;
    ensure!(repeats > 0, "what was written and not heard of comes again");
    Ok(())
}

/// Holds the broker's answers back until it has written something that Walgate can't know of.
fn lose_answers(
    bed: &mut Bed,
    direct: &str,
    proxy: &walgate_throwaway::FaultProxy,
    workload: &Workload,
    seen: &mut Vec<Seen>,
) -> Result<()> {
    proxy.stall_only(Direction::ToClient);
    let before = look(bed, direct)?;
    let confirmed = before.confirmed;
    seen.push(before);
    until("the broker has written more than is confirmed", || {
        for event in values(direct, TOPIC)?.concat() {
            if commit_lsn(&event)? >= confirmed {
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    work(workload, 10)
}

fn check_repeats(bootstrap: &str) -> Result<usize> {
    let mut repeats = 0;
    for events in values(bootstrap, TOPIC)? {
        repeats += events.len() - without_repeats(&events)?.len();
    }
    Ok(repeats)
}
