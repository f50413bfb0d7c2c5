//! The sinks: topics, rights, sizes; folders of files.

use std::path::Path;

use walgate_core::SinkError;
use walgate_sink_kafka::{TopicFacts, TopicLook, TopicState, look};
use walgate_slot::check::Finding;
use walgate_slot::words::bytes;

use super::rows::Sampled;
use crate::config::{Config, Destination, OnDefinite, Sink};
use crate::wiring::{blocking, kafka_config, options};

const TOPIC: &str = "kafka_topic";

/// Judges each sink of a configuration.
pub(super) async fn check(config: &Config, database: &str, rows: Vec<Sampled>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rows = rows;
    // What Walgate is going to publish itself.
    for pattern in &config.source.tables {
        if let Some((schema, table)) = pattern.0.one_table()
            && !rows
                .iter()
                .any(|row| row.schema == schema && row.table == table)
        {
            rows.push(Sampled {
                schema: schema.to_owned(),
                table: table.to_owned(),
                largest: None,
            });
        }
    }
    for (name, sink) in &config.sinks {
        findings.extend(letters(name, sink));
        match &sink.destination {
            Destination::Stdout(_) | Destination::Websocket(_) => {}
            Destination::File(file) => findings.push(folder("sink_file", name, &file.path)),
            Destination::Kafka(settings) => {
                let tables = match options(name, sink) {
                    Ok(options) => tables(&rows, |schema, table| {
                        options.selection.takes(schema, table)
                    }),
                    Err(_) => tables(&rows, |_, _| true),
                };
                let wanted = kafka_config(sink, settings);
                let database = database.to_owned();
                let looked = blocking(move || {
                    let wanted = wanted?;
                    Ok(look(&wanted, &database, &tables))
                });
                match looked.await {
                    Ok(Ok(looks)) => findings.extend(topics(name, &looks, &rows)),
                    Ok(Err(error)) => findings.push(refused(&format!("sink {name}"), &error)),
                    Err(failure) => findings.push(Finding::fail(
                        TOPIC,
                        format!("sink {name}: {}", failure.message),
                        "nothing can be delivered",
                        failure.hint.unwrap_or_default(),
                    )),
                }
            }
        }
    }
    findings
}

fn tables(rows: &[Sampled], takes: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
    let taken = rows.iter().filter(|row| takes(&row.schema, &row.table));
    taken
        .map(|row| (row.schema.clone(), row.table.clone()))
        .collect()
}

fn letters(name: &str, sink: &Sink) -> Option<Finding> {
    match (&sink.on_definite, &sink.dead_letter.file) {
        (OnDefinite::DeadLetter, Some(path)) => Some(folder("dead_letter_file", name, path)),
        _ => None,
    }
}

/// Files are made, their folders are not.
fn folder(check: &'static str, name: &str, path: &Path) -> Finding {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let there = std::fs::metadata(parent).is_ok_and(|parent| parent.is_dir());
    match there {
        true => Finding::pass(check, format!("sink {name}: {} is there", parent.display())),
        false => Finding::fail(
            check,
            format!("sink {name}: there is no folder {}", parent.display()),
            "the file can't be opened",
            format!("mkdir -p {}", parent.display()),
        ),
    }
}

fn refused(what: &str, error: &SinkError) -> Finding {
    Finding::fail(
        TOPIC,
        format!("{what}: {}", error.message),
        "nothing can be delivered",
        error.hint.clone().unwrap_or_else(|| "see above".to_owned()),
    )
}

/// What is wrong with topics, and in one line what is not.
fn topics(name: &str, looks: &[TopicLook], rows: &[Sampled]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut there, mut creatable) = (0, 0);
    for look in looks {
        let what = format!("sink {name}: topic {}", look.topic);
        match &look.state {
            TopicState::There(facts) => {
                there += 1;
                findings.extend(facts_of(&what, look, facts));
                findings.extend(sizes(&what, look, facts, rows));
            }
            TopicState::Creatable => creatable += 1,
            TopicState::Missing(None) => findings.push(Finding::fail(
                TOPIC,
                format!("{what} does not exist"),
                "the start stops at it",
                look.command.clone(),
            )),
            TopicState::Missing(Some(error)) | TopicState::Refused(error) => {
                findings.push(refused(&format!("sink {name}"), error));
            }
            _ => {}
        }
    }
    let mut seen = format!("sink {name}: the cluster answers, {there} topics are there");
    if creatable > 0 {
        seen.push_str(&format!(", {creatable} will be created"));
    }
    findings.insert(0, Finding::pass("kafka", seen));
    findings
}

fn facts_of(what: &str, look: &TopicLook, facts: &TopicFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let topic = &look.topic;
    if facts.writable == Some(false) {
        findings.push(Finding::fail(
            TOPIC,
            format!("{what} may not be written to"),
            "nothing can be delivered there",
            format!("kafka-acls.sh --add --allow-principal User:… --operation Write --operation Describe --operation DescribeConfigs --topic '{topic}'"),
        ));
    }
    if look.single && facts.partitions != 1 {
        findings.push(Finding::fail(
            TOPIC,
            format!(
                "{what} has {} partitions, it must have one",
                facts.partitions
            ),
            "events keep the order of the log only within one partition",
            "use another topic",
        ));
    }
    if look.single && facts.compacted() {
        findings.push(Finding::fail(
            TOPIC,
            format!("{what} is compacted"),
            "compaction takes events away",
            format!(
                "kafka-configs.sh --alter --topic '{topic}' --add-config cleanup.policy=delete"
            ),
        ));
    }
    let least = facts.min_in_sync;
    if let Some(least) = least.filter(|least| *least > facts.in_sync) {
        findings.push(Finding::fail(
            "min_insync_replicas",
            format!(
                "{what} has a partition with {} replicas in sync, and min.insync.replicas is {least}",
                facts.in_sync
            ),
            "nothing is acknowledged until there are more",
            "bring the brokers back, or lower min.insync.replicas",
        ));
    } else if facts.replicas > 1 && least == Some(1) {
        findings.push(Finding::warn(
            "min_insync_replicas",
            format!(
                "{what} has {} replicas, and min.insync.replicas is 1",
                facts.replicas
            ),
            "what one broker has acknowledged counts as delivered, and is lost with its disk",
            format!(
                "kafka-configs.sh --alter --topic '{topic}' --add-config min.insync.replicas=2"
            ),
        ));
    }
    findings
}

/// The broker's default of `max.message.bytes`.
const DEFAULT_LIMIT: u64 = 1_048_588;

/// An event has at least about the bytes of its row.
fn sizes(what: &str, look: &TopicLook, facts: &TopicFacts, rows: &[Sampled]) -> Option<Finding> {
    const CHECK: &str = "max_message_bytes";
    let of = rows.iter().filter(|row| {
        let label = format!("{}.{}", row.schema, row.table);
        look.tables.contains(&label)
    });
    let (largest, table) = of
        .filter_map(|row| Some((row.largest?, &row.table)))
        .max()?;
    let limit = facts.max_message_bytes.unwrap_or(DEFAULT_LIMIT);
    let seen = format!(
        "{what} takes {}, and a sample of {table} has a row of {}",
        bytes(limit),
        bytes(largest)
    );
    (largest >= limit).then(|| {
        Finding::warn(
            CHECK,
            seen,
            "what is too large is refused: by on_definite it stops the sink or becomes a dead letter",
            look.command.clone(),
        )
    })
}
