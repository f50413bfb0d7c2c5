//! The way through a real Kafka: a sink, and a reader of what it has written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use tokio::sync::oneshot;
use walgate_core::{Failure, StopReason};
use walgate_format::{NativeJson, NativeJsonOptions};
use walgate_pipeline::{Pipeline, SinkOptions, StatusHandle, Stop};
use walgate_sink_kafka::{KafkaConfig, KafkaSink, TopicCreation};
use walgate_sink_stdout::Output;

use super::readable::readable;
use super::tally::{SharedTally, locked};
use crate::args::OutputFormat;
use crate::ending::Ending;
use crate::entry::Console;
use crate::wiring::Screen;

/// The tables of the maze; their topics are called `schema.table`.
const TABLES: [(&str, &str); 2] = [("maze", "experiments"), ("maze", "agent_actions")];

/// Enough to see that each key keeps to one.
const PARTITIONS: i32 = 3;

/// How long the reader waits for a record before it looks whether it should end.
const POLL: Duration = Duration::from_millis(50);

/// How long the broker may take for an answer; it runs on this machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds the sink.
pub(super) fn add(
    pipeline: &mut Pipeline,
    options: SinkOptions,
    bootstrap: &str,
) -> Result<StatusHandle, Failure> {
    let mut config = KafkaConfig::new(bootstrap);
    config.create_topics = Some(TopicCreation {
        partitions: PARTITIONS,
        replication_factor: 1,
        config: BTreeMap::new(),
    });
    let tables = TABLES.map(|(schema, table)| (schema.to_owned(), table.to_owned()));
    let sink = KafkaSink::new(config, "postgres", &tables);
    let sink = sink.map_err(|error| Failure::new(StopReason::Config, error.to_string()))?;
    let encoder = NativeJson::new(NativeJsonOptions {
        old_keys: true,
        ..NativeJsonOptions::default()
    });
    Ok(pipeline.add(options, encoder, sink, None))
}

/// Reads the topics in a thread of its own and prints what is there.
pub(super) struct Reader {
    written: Arc<AtomicBool>,
    ended: oneshot::Receiver<Result<(), Ending>>,
}

/// Starts to read; asks `stop` for the end when it can't go on.
pub(super) fn read_back(
    bootstrap: &str,
    format: OutputFormat,
    console: &Console,
    tally: &SharedTally,
    stop: Stop,
) -> Result<Reader, Ending> {
    let no_output = |error| Ending::of_output(&error);
    let mut reading = Reading {
        consumer: consumer(bootstrap).map_err(|error| failed(&error))?,
        screen: Screen::new(console).map_err(no_output)?,
        format,
        colour: console.stdout_colour,
        tally: Arc::clone(tally),
        next: BTreeMap::new(),
        line: Vec::new(),
    };
    let written = Arc::new(AtomicBool::new(false));
    let all_written = Arc::clone(&written);
    let (send, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("walgate-reader".into());
    let thread = thread.spawn(move || {
        let result = reading.run(&all_written);
        // The consumer leaves before the broker does.
        drop(reading);
        stop.drain();
        // Nobody listens when the demo has failed meanwhile.
        drop(send.send(result));
    });
    thread.map_err(|error| Ending::other(format!("can't start a thread: {error}")))?;
    Ok(Reader { written, ended })
}

impl Reader {
    /// Everything is written: reads the rest, and ends.
    pub(super) async fn finish(self) -> Result<(), Ending> {
        self.written.store(true, Ordering::Release);
        let gone = |_| Ending::other("the reader of the topics has ended");
        self.ended.await.map_err(gone)?
    }
}

struct Reading {
    consumer: BaseConsumer,
    screen: Screen,
    format: OutputFormat,
    colour: bool,
    tally: SharedTally,
    /// Offset of the next record, by topic and partition.
    next: BTreeMap<(String, i32), i64>,
    line: Vec<u8>,
}

impl Reading {
    fn run(&mut self, all_written: &AtomicBool) -> Result<(), Ending> {
        while !self.assign()? {
            if all_written.load(Ordering::Acquire) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        let mut last = Instant::now();
        loop {
            // Looked at before the poll: what comes after it may still have been written before it.
            let complete = all_written.load(Ordering::Acquire);
            match self.poll()? {
                true => last = Instant::now(),
                false if complete && self.at_the_end()? => return Ok(()),
                false if complete && last.elapsed() > PATIENCE => {
                    return Err(Ending::other(
                        "apache kafka does not give back what it was given",
                    ));
                }
                false => {}
            }
        }
    }

    /// Takes all partitions, once the topics are there.
    fn assign(&mut self) -> Result<bool, Ending> {
        let mut all = TopicPartitionList::new();
        for (schema, table) in TABLES {
            let topic = format!("{schema}.{table}");
            let metadata = self.consumer.fetch_metadata(Some(&topic), PATIENCE);
            let metadata = metadata.map_err(|error| failed(&error))?;
            let known = metadata.topics().first();
            if known.is_none_or(|topic| topic.partitions().len() < PARTITIONS as usize) {
                return Ok(false);
            }
            for partition in 0..PARTITIONS {
                all.add_partition_offset(&topic, partition, Offset::Beginning)
                    .map_err(|error| failed(&error))?;
                self.next.insert((topic.clone(), partition), 0);
            }
        }
        self.consumer
            .assign(&all)
            .map_err(|error| failed(&error))
            .map(|()| true)
    }

    /// Prints the next record, when there is one.
    fn poll(&mut self) -> Result<bool, Ending> {
        let Some(record) = self.consumer.poll(POLL) else {
            return Ok(false);
        };
        let record = match record {
            Ok(record) => record,
            // The client goes on by itself; what does not come back is found missing at the end.
            Err(error) => {
                tracing::debug!("reading from apache kafka: {error}");
                return Ok(false);
            }
        };
        let place = (record.topic().to_owned(), record.partition());
        self.next.insert(place, record.offset() + 1);
        let Some(event) = record.payload() else {
            locked(&self.tally).note_tombstone();
            return Ok(true);
        };
        let fields: Value = serde_json::from_slice(event)
            .map_err(|error| Ending::other(format!("a record that is no event: {error}")))?;
        write_line(&mut self.line, self.format, self.colour, &record, &fields);
        self.screen
            .write(&self.line)
            .map_err(|error| Ending::of_output(&error))?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let table = format!("{}.{}", text("schema"), text("table"));
        let committed = humantime::parse_rfc3339(text("time")).unwrap_or(SystemTime::UNIX_EPOCH);
        let (printed, now) = (SystemTime::now(), Instant::now());
        locked(&self.tally).note((&table, text("op")), committed, printed, now);
        Ok(true)
    }

    /// Whether everything that the topics hold was read.
    fn at_the_end(&self) -> Result<bool, Ending> {
        for ((topic, partition), next) in &self.next {
            let ends = self.consumer.fetch_watermarks(topic, *partition, PATIENCE);
            let (_, end) = ends.map_err(|error| failed(&error))?;
            if *next < end {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn write_line(
    line: &mut Vec<u8>,
    format: OutputFormat,
    colour: bool,
    record: &BorrowedMessage<'_>,
    fields: &Value,
) {
    line.clear();
    match format {
        OutputFormat::Json => line.extend_from_slice(record.payload().unwrap_or_default()),
        OutputFormat::Pretty => {
            let place = (record.topic(), record.partition(), record.offset());
            line.extend_from_slice(readable(place, fields, colour).as_bytes());
        }
    }
    line.push(b'\n');
}

fn consumer(bootstrap: &str) -> Result<BaseConsumer, KafkaError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.set("group.id", "walgate-demo");
    config.set("enable.auto.commit", "false");
    config.set("allow.auto.create.topics", "false");
    // A question for the end of a partition waits behind a fetch that waits for records.
    config.set("fetch.wait.max.ms", "20");
    config.create()
}

fn failed(error: &KafkaError) -> Ending {
    Ending::other(format!("reading from apache kafka: {error}"))
}
