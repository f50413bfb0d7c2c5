//! Topics: made, and read back.

use std::future::Future;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use walgate_tests::{Stored, records};

fn wait_for<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future))
}

/// Makes a topic.
pub(crate) fn create(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let made = wait_for(admin.create_topics([&new], &AdminOptions::new()))??;
    for result in made {
        result.map_err(|(name, code)| anyhow::anyhow!("create {name}: {code}"))?;
    }
    Ok(())
}

/// A Kafka sink named `kafka`, with more lines.
pub(crate) fn kafka_sink(bootstrap: &str, more: &str) -> String {
    format!("[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"{bootstrap}\"]\n{more}\n")
}

/// Lets a sink create its topics with so many partitions.
pub(crate) fn creating(partitions: u32) -> String {
    format!(
        "create_topics = {{ enabled = true, partitions = {partitions}, replication_factor = 1 }}"
    )
}

/// The events of all partitions of a topic, partition by partition, without tombstones.
pub(crate) fn values(bootstrap: &str, topic: &str) -> Result<Vec<Vec<Value>>> {
    let parse = |records: Vec<Stored>| {
        let values = records.into_iter().filter_map(|record| record.value);
        values
            .map(|value| serde_json::from_str(&value).context(value))
            .collect::<Result<Vec<Value>>>()
    };
    records(bootstrap, topic)?.into_iter().map(parse).collect()
}

/// A header of a record.
pub(crate) fn header<'a>(record: &'a Stored, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// The only partition of a topic.
pub(crate) fn only<T>(mut partitions: Vec<T>) -> Result<T> {
    ensure!(
        partitions.len() == 1,
        "{} partitions instead of one",
        partitions.len()
    );
    partitions.pop().context("one partition")
}

/// Changes a setting of a topic.
pub(crate) fn alter(bootstrap: &str, topic: &str, name: &str, value: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    for result in wait_for(admin.alter_configs([&change], &AdminOptions::new()))?? {
        result.map_err(|(resource, code)| anyhow::anyhow!("alter {resource:?}: {code}"))?;
    }
    Ok(())
}

/// `max.message.bytes` of a topic, as the broker tells it.
pub(crate) fn takes(bootstrap: &str, topic: &str, bytes: u64) -> Result<bool> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let asked = [ResourceSpecifier::Topic(topic)];
    let described = wait_for(admin.describe_configs(asked.iter(), &AdminOptions::new()))??;
    let topic = described.into_iter().next().context("an answer")?;
    let topic = topic.map_err(|code| anyhow::anyhow!("describe: {code}"))?;
    let limit = topic
        .get("max.message.bytes")
        .and_then(|entry| entry.value.clone());
    Ok(limit.context("a limit")?.parse::<u64>()? >= bytes)
}
