//! Reading a topic back.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::until;

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
        ends.push(end(&consumer, topic.name(), partition)?);
    }
    Ok(ends)
}

/// The end of a partition, which may have no leader yet when the broker has just come back.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<i64> {
    let mut end = None;
    until("a partition has a leader", || {
        match consumer.fetch_watermarks(topic, partition, PATIENCE) {
            Ok((_, high)) => end = Some(high),
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(end.is_some())
    })?;
    end.context("the end of a partition")
}

/// Whether it is about a broker that has just come back.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::NotLeaderForPartition | RDKafkaErrorCode::LeaderNotAvailable)
    )
}

/// All records of a topic, partition by partition.
///
/// # Errors
///
/// When the broker does not answer.
pub fn records(bootstrap: &str, topic: &str) -> Result<Vec<Vec<Stored>>> {
    let mut partitions = vec![Vec::new(); ends(bootstrap, topic)?.len()];
    each_record(bootstrap, topic, |partition, record| {
        partitions[partition].push(record);
        Ok(())
    })?;
    Ok(partitions)
}

/// Hands over the records of a topic one by one, partition by partition.
///
/// # Errors
///
/// When the broker does not answer, and what `take` returns.
pub fn each_record(
    bootstrap: &str,
    topic: &str,
    mut take: impl FnMut(usize, Stored) -> Result<()>,
) -> Result<()> {
    let consumer = consumer(bootstrap)?;
    for (partition, end) in ends(bootstrap, topic)?.into_iter().enumerate() {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, i32::try_from(partition)?, Offset::Beginning)?;
        consumer.assign(&assignment)?;
        let mut next = 0;
        while next < end {
            let record = match consumer
                .poll(PATIENCE)
                .context("the broker sends no more")?
            {
                Err(error) if is_passing(&error) => continue,
                record => record?,
            };
            next = record.offset() + 1;
            take(partition, stored(&record))?;
        }
    }
    Ok(())
}

fn stored(record: &impl Message) -> Stored {
    let headers = record.headers().map(|headers| {
        headers
            .iter()
            .map(|h| (h.key.to_owned(), h.value.map(text).unwrap_or_default()))
            .collect()
    });
    Stored {
        key: record.key().map(text),
        value: record.payload().map(text),
        headers: headers.unwrap_or_default(),
    }
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
