//! Kafka alone: a producer and a consumer with nothing between them, the yardstick of who goes through Kafka.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::load::Load;

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;

/// How long what was produced may take to be acknowledged; only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// About as many bytes as an event of the same row has.
const PADDING: &str = "north, and further north, until the wall ends and the next one begins; \
    then the first turn to the right, past the second door, along the corridor to its end, where a window is";

/// Makes a topic.
pub(crate) fn create_topic(bootstrap: &str, name: &str) -> Result<()> {
    let mut config = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        config.set("bootstrap.servers", bootstrap).create()?;
    let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let created = runtime.block_on(admin.create_topics(&[topic], &AdminOptions::new()))?;
    for result in created {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

/// A producer with the guarantees that Walgate's has, which waits for nothing.
pub(crate) struct Alone {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Alone {
    pub(crate) fn new(bootstrap: &str, topic: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "0");
        Ok(Self {
            producer: config.create().context("make a producer")?,
            topic: topic.to_owned(),
        })
    }

    /// Produces the rows of a load instead of inserting them. Whether all were in time.
    pub(crate) fn produce(&self, load: Load, start_us: u64) -> Result<bool> {
        let given_up = AtomicBool::new(false);
        let held = load.pace(start_us, (0, 1), &given_up, |first, due_us| {
            for seq in first..first + load.rows_a_transaction() {
                self.send(seq, due_us)?;
            }
            Ok(())
        })?;
        self.producer
            .flush(PATIENCE)
            .context("flush the producer")?;
        Ok(held)
    }

    /// Produces one row.
    pub(crate) fn send(&self, seq: u64, due_us: u64) -> Result<()> {
        let value = format!(r#"{{"seq":{seq},"due":{due_us},"heading":"{PADDING}"}}"#);
        let partition = i32::try_from(seq % 4)?;
        loop {
            let record: BaseRecord<'_, (), str> = BaseRecord::to(&self.topic)
                .partition(partition)
                .payload(&value);
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}
