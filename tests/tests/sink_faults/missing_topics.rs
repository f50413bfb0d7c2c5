//! Topics that are missing or may not be written: told before the slot is touched.

use anyhow::{Result, ensure};
use walgate_tests::{Bed, failed};
use walgate_throwaway::{Kafka, KafkaOptions, PgVersion, shared_kafka};

use super::kafka_format::prefix;
use super::topics::{creating, kafka_sink, only, values};

const SETUP: &str = "create table t (id int primary key);
     create publication walgate for table t;
     insert into t values (1);";

/// Row 57: a missing topic stops the start with the command that makes it, and no slot is left
/// behind that would hold WAL back; with `create_topics` it is made as it is configured.
#[test]
fn a_missing_topic_stops_before_the_slot() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(PgVersion::V17, "topic_missing", SETUP)?;
    let topic = format!("{}.public.t", prefix("missing"));
    let named = format!("topic = \"{}.{{schema}}.{{table}}\"", prefix("missing"));
    bed.configure(&kafka_sink(&bootstrap, &named))?;
    let ended = bed.start()?.wait()?;
    failed(
        &ended,
        6,
        &["error: sink kafka: ", &topic, "kafka-topics.sh", "--create"],
    )?;
    ensure!(bed.slot()?.is_none(), "a slot was made for nothing");
    let config = "config = { \"cleanup.policy\" = \"compact\", \"max.message.bytes\" = 77777 }";
    let creating = creating(5).replace(" }", &format!(", {config} }}"));
    bed.configure(&kafka_sink(&bootstrap, &format!("{named}\n{creating}")))?;
    bed.begin()?;
    bed.sql("insert into t values (2);")?;
    bed.catch_up(&[])?;
    let held = values(&bootstrap, &topic)?;
    ensure!(held.len() == 5 && held.concat().len() == 1, "{held:?}");
    ensure!(super::topics::takes(&bootstrap, &topic, 77_777)?);
    ensure!(!super::topics::takes(&bootstrap, &topic, 77_778)?);
    Ok(())
}

/// Row 57: without the right to write it stops, names the topic and the ACL to grant, shows no
/// password, and has made no slot. The wrong password is told as such.
#[test]
fn a_topic_that_may_not_be_written_stops_before_the_slot() -> Result<()> {
    let options = KafkaOptions {
        authorizer: true,
        ..KafkaOptions::default().user("gate", "topsecret-1")
    };
    let broker = Kafka::start(&options)?;
    super::topics::create(&broker.bootstrap(), "denied.t", 1, &[])?;
    let mut bed = Bed::shared(PgVersion::V17, "topic_denied", SETUP)?;
    let sasl = broker.sasl_bootstrap().unwrap_or_default();
    let more = |password: &str| {
        format!(
            "topic = \"denied.{{table}}\"\nsasl_mechanism = \"SCRAM-SHA-256\"\n\
             sasl_username = \"gate\"\nsasl_password = \"{password}\""
        )
    };
    bed.configure(&kafka_sink(&sasl, &more("topsecret-1")))?;
    let ended = bed.start()?.wait()?;
    failed(
        &ended,
        6,
        &[
            "denied.t",
            "kafka-acls.sh",
            "User:gate",
            "--operation Write",
        ],
    )?;
    ensure!(!ended.stderr.contains("topsecret"), "{}", ended.stderr);
    ensure!(bed.slot()?.is_none(), "a slot was made for nothing");
    bed.configure(&kafka_sink(&sasl, &more("topsecret-2")))?;
    let ended = bed.start()?.wait()?;
    failed(
        &ended,
        6,
        &["sink kafka", "check user, password and mechanism"],
    )?;
    ensure!(!ended.stderr.contains("topsecret"), "{}", ended.stderr);
    ensure!(bed.slot()?.is_none(), "a slot was made for nothing");
    // Who may everything, and the same table: it was the rights.
    bed.configure(&kafka_sink(
        &broker.bootstrap(),
        "topic = \"denied.{table}\"",
    ))?;
    bed.begin()?;
    bed.sql("insert into t values (2);")?;
    bed.catch_up(&[])?;
    ensure!(only(values(&broker.bootstrap(), "denied.t")?)?.len() == 1);
    Ok(())
}

/// Row 57: meta and stream topics are checked as well: they have one partition.
#[test]
fn a_stream_topic_with_partitions_is_refused() -> Result<()> {
    let bootstrap = shared_kafka()?.bootstrap();
    let mut bed = Bed::shared(PgVersion::V17, "topic_stream", SETUP)?;
    let stream = format!("{}.stream", prefix("refused_stream"));
    super::topics::create(&bootstrap, &stream, 3, &[])?;
    let more = format!(
        "stream_topic = \"{stream}\"\ntopic = \"{}.t\"\n{}",
        prefix("refused_stream"),
        creating(1)
    );
    bed.configure(&kafka_sink(&bootstrap, &more))?;
    let ended = bed.start()?.wait()?;
    failed(&ended, 6, &["stream topic", &stream, "3 partitions"])?;
    ensure!(bed.slot()?.is_none(), "a slot was made for nothing");
    Ok(())
}
