//! Two instances of one slot: the second waits, takes over when the first has died, and who was
//! replaced does nothing any more.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use walgate_tests::{
    Bed, CREATED, LEDGER, Program, clean, failed, file_sink, parse, quiet, records, stop, until,
};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions, shared_kafka};

use crate::sink_faults::topics::{create, creating, kafka_sink};

const WAITING: &str = "waiting as a standby: the slot is in use by application \"walgate\"";
const TAKEN: &str = "took the slot's place in the topic";
const REPLACED: &str = "another instance has taken the place of slot";

/// A bed whose checkpoint is in a topic.
fn in_topic(mut bed: Bed, kafka: &str) -> Result<Bed> {
    let name = bed.name.clone();
    create(
        kafka,
        &format!("{name}.checkpoints"),
        1,
        &[("cleanup.policy", "compact")],
    )?;
    let more = format!("topic = \"{name}\"\ntombstones = false\n{}", creating(1));
    bed.configure(&kafka_sink(kafka, &more))?;
    Ok(bed)
}

/// Starts an instance with a state folder of its own, as on a machine of its own.
fn instance(bed: &Bed, state: &str) -> Result<Program> {
    let file = format!("{state}.toml");
    let config = bed.write_config_as(&file, state)?;
    let text = std::fs::read_to_string(&config)?;
    let topic = format!("[state]\ncheckpoint_topic = \"{}.checkpoints\"\n", bed.name);
    std::fs::write(&config, text.replace("[state]\n", &topic))?;
    start(&config)
}

fn start(config: &Path) -> Result<Program> {
    Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
}

fn insert(bed: &Bed, ids: std::ops::RangeInclusive<i32>) -> Result<()> {
    let (first, last) = (ids.start(), ids.end());
    bed.sql(&format!(
        "insert into ledger select n, 1, 1, 'x' from generate_series({first}, {last}) n"
    ))
}

/// How often each row is in the topic.
fn rows(bed: &Bed, kafka: &str) -> Result<BTreeMap<i64, usize>> {
    let mut rows = BTreeMap::new();
    for record in records(kafka, &bed.name)?.into_iter().flatten() {
        let value = record.value.context("no tombstones")?;
        for event in parse([value.as_str()])? {
            let id = event["after"]["id"].as_i64().context("an id")?;
            *rows.entry(id).or_default() += 1;
        }
    }
    Ok(rows)
}

fn until_delivered(bed: &Bed, kafka: &str, last: i64) -> Result<()> {
    until("every row is in the topic", || {
        let rows = rows(bed, kafka).unwrap_or_default();
        Ok((1..=last).all(|id| rows.contains_key(&id)))
    })
}

fn setup() -> String {
    format!("{LEDGER};\ncreate publication walgate for table ledger;")
}

#[test]
fn a_killed_instance_is_followed_by_the_one_that_waits() -> Result<()> {
    let kafka = shared_kafka()?.bootstrap();
    let bed = in_topic(Bed::shared(PgVersion::V16, "two_killed", &setup())?, &kafka)?;
    let mut first = instance(&bed, "one")?;
    first.wait_for_log("streaming")?;
    insert(&bed, 1..=100)?;
    bed.until_confirmed(&mut first)?;
    let mut second = instance(&bed, "two")?;
    second.wait_for_log(WAITING)?;
    insert(&bed, 101..=200)?;
    until_delivered(&bed, &kafka, 200)?;
    ensure!(!second.stderr().contains(TAKEN), "it waits");
    let pid = first.pid();
    first.signal("KILL")?;
    second.wait_for_log(TAKEN)?;
    second.wait_for_log("streaming")?;
    insert(&bed, 201..=300)?;
    until_delivered(&bed, &kafka, 300)?;
    bed.until_confirmed(&mut second)?;
    let said = second.stderr();
    ensure!(said.contains("(pid ") && pid > 0, "{said}");
    let adopted = "without a checkpoint";
    ensure!(
        !said.contains(adopted),
        "the checkpoint was taken over: {said}"
    );
    // What the first had confirmed does not come again.
    let rows = rows(&bed, &kafka)?;
    ensure!((1..=100).all(|id| rows.get(&id) == Some(&1)), "{rows:?}");
    let ended = stop(second, &[])?;
    ensure!(ended.status.success());
    // A third goes on where the second was told to stop: nothing is repeated.
    let mut third = instance(&bed, "three")?;
    third.wait_for_log("streaming")?;
    insert(&bed, 301..=310)?;
    until_delivered(&bed, &kafka, 310)?;
    stop(third, &[])?;
    let after = self::rows(&bed, &kafka)?;
    ensure!(
        (201..=310).all(|id| after.get(&id) == Some(&1)),
        "{after:?}"
    );
    Ok(())
}

/// A stopped process holds its connection; the server ends it, another takes over, and what wakes up
/// later ends without having saved or confirmed anything.
#[test]
fn an_instance_that_was_only_stopped_is_fenced_when_it_goes_on() -> Result<()> {
    let kafka = shared_kafka()?.bootstrap();
    let options = PostgresOptions::version(PgVersion::V17).setting("wal_sender_timeout", "3s");
    let server = Postgres::start(&options)?;
    let mut bed = Bed::on(&server, "two_stopped", &setup())?;
    bed.source = "status_interval = \"500ms\"".to_owned();
    let bed = in_topic(bed, &kafka)?;
    let mut first = instance(&bed, "one")?;
    first.wait_for_log("streaming")?;
    insert(&bed, 1..=100)?;
    bed.until_confirmed(&mut first)?;
    let mut second = instance(&bed, "two")?;
    second.wait_for_log(WAITING)?;
    first.signal("STOP")?;
    second.wait_for_log("streaming")?;
    insert(&bed, 101..=200)?;
    until_delivered(&bed, &kafka, 200)?;
    bed.until_confirmed(&mut second)?;
    first.signal("CONT")?;
    let ended = first.wait()?;
    failed(&ended, 5, &[REPLACED])?;
    // The one that took over was not disturbed, and its checkpoint is the one that counts.
    insert(&bed, 201..=300)?;
    until_delivered(&bed, &kafka, 300)?;
    bed.until_confirmed(&mut second)?;
    quiet(&second.stderr(), &[])?;
    second.signal("KILL")?;
    let mut third = instance(&bed, "three")?;
    third.wait_for_log("streaming")?;
    let before = rows(&bed, &kafka)?;
    ensure!((1..=300).all(|id| before.contains_key(&id)), "{before:?}");
    let ended = stop(third, &[])?;
    clean(&ended, &[])
}

/// A shared volume: the second waits for the lock of the folder.
#[test]
fn a_standby_waits_for_the_folder_and_reads_it_only_then() -> Result<()> {
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V15, "two_shared", setup)?;
    let out = bed.path("out.ndjson");
    bed.configure(&file_sink(&out))?;
    let config = bed.write_config()?;
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(
        &config,
        text.replace("[state]\n", "[state]\nstandby = true\n"),
    )?;
    let mut first = start(&config)?;
    first.wait_for_log("streaming")?;
    let mut second = start(&config)?;
    second.wait_for_log("waiting as a standby: the state directory")?;
    bed.sql("insert into t values (1)")?;
    bed.until_confirmed(&mut first)?;
    // Another one that waits can be told to end.
    let mut other = start(&config)?;
    other.wait_for_log("waiting as a standby")?;
    let ended = stop(other, &[])?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    first.signal("KILL")?;
    second.wait_for_log("the state folder is free: taking over")?;
    second.wait_for_log("streaming")?;
    bed.sql("insert into t values (2)")?;
    bed.until_confirmed(&mut second)?;
    let ended = stop(second, &[])?;
    ensure!(!ended.stderr.contains(CREATED), "{}", ended.stderr);
    let events = walgate_tests::events(&out)?;
    let ids: Vec<_> = events
        .iter()
        .map(|event| event["after"]["id"].clone())
        .collect();
    ensure!(ids == [1, 2], "{ids:?}");
    Ok(())
}
