//! Reading a topic back.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Only bounds a test that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: Option<String>,
    /// Its value; none for a tombstone.
    pub value: Option<String>,
    /// Its headers.
    pub headers: Vec<(String, String)>,
}

/// The end of each partition of a topic: the offset of the next record.
///
/// # Errors
///
/// When the broker does not answer.
pub fn ends(bootstrap: &str, topic: &str) -> Result<Vec<i64>> {
    let consumer = consumer(bootstrap)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let topic = metadata.topics().first().context("the topic's metadata")?;
    let mut ends = Vec::new();
    for partition in 0..i32::try_from(topic.partitions().len())? {
        ends.push(
            consumer
                .fetch_watermarks(topic.name(), partition, PATIENCE)?
                .1,
        );
    }
    Ok(ends)
}

/// All records of a topic, partition by partition.
///
/// # Errors
///
/// When the broker does not answer.
pub fn records(bootstrap: &str, topic: &str) -> Result<Vec<Vec<Stored>>> {
    let consumer = consumer(bootstrap)?;
    let mut partitions = Vec::new();
    for (partition, end) in (0i32..).zip(ends(bootstrap, topic)?) {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
        consumer.assign(&assignment)?;
        let mut records = Vec::new();
        let mut next = 0;
        while next < end {
            let record = consumer
                .poll(PATIENCE)
                .context("the broker sends no more")??;
            next = record.offset() + 1;
            records.push(Stored {
                key: record.key().map(text),
                value: record.payload().map(text),
                headers: record
                    .headers()
                    .map(|headers| {
                        headers
                            .iter()
                            .map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default()))
                            .collect()
                    })
                    .unwrap_or_default(),
            });
        }
        partitions.push(records);
    }
    Ok(partitions)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn consumer(bootstrap: &str) -> Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "walgate-tests");
    config
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    config.set("allow.auto.create.topics", "false");
    Ok(config.create()?)
}
