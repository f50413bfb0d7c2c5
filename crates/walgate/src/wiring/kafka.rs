//! `type = "kafka"` into what the Kafka sink takes.

use std::collections::BTreeMap;

use walgate_core::{Failure, Position, StopReason};
use walgate_sink_kafka::{
    Compression, KafkaConfig, Sasl, SaslMechanism, Secret, TableOverride, Tls, TopicCreation,
    TopicTemplate,
};
use walgate_source_kafka::KafkaSourceOptions;

use super::selection::parse;
use crate::config;

/// Everything that the configuration says of a Kafka sink.
pub(crate) fn kafka(sink: &config::Sink, kafka: &config::Kafka) -> Result<KafkaConfig, Failure> {
    let mut wanted = connection(kafka);
    let template = kafka.topic.to_string().parse::<TopicTemplate>();
    wanted.topic = template.map_err(|error| Failure::new(StopReason::Config, error.to_string()))?;
    wanted.meta_topic = kafka.meta_topic.as_ref().map(ToString::to_string);
    wanted.stream_topic = kafka.stream_topic.as_ref().map(ToString::to_string);
    wanted.transactions = sink.transactions;
    wanted.schemas = sink.schema_events;
    wanted.tombstones = kafka.tombstones;
    for (tables, rule) in &sink.rules {
        if rule.topic.is_none() && rule.tombstones.is_none() {
            continue;
        }
        let pattern = parse(tables)?;
        // The configuration has checked that a rule with a topic names one table.
        if let Some((schema, table)) = pattern.one_table() {
            let topic = rule.topic.as_ref().map(ToString::to_string);
            let own = TableOverride {
                topic,
                tombstones: rule.tombstones,
                create: None,
            };
            wanted.tables.insert(format!("{schema}.{table}"), own);
        }
    }
    Ok(wanted)
}

/// A sink on the same cluster that writes dead letters to one topic.
pub(crate) fn dead_letters(kafka: &config::Kafka, topic: &config::TopicName) -> KafkaConfig {
    let mut wanted = connection(kafka);
    // A dead letter has no table, and what has none goes to the meta topic.
    wanted.meta_topic = Some(topic.to_string());
    wanted
}

/// The topic that a gateway reads, and how to reach its cluster.
pub(crate) fn gateway(
    gateway: &config::Gateway,
    topic: &config::TopicName,
    behind: Option<Position>,
) -> KafkaSourceOptions {
    let mut properties = connection(&gateway.cluster()).connection_properties();
    // Nothing is produced.
    properties.remove("compression.type");
    KafkaSourceOptions {
        topic: topic.to_string(),
        properties,
        begin: walgate_source_kafka::Begin {
            behind,
            window: gateway.window.0,
        },
    }
}

/// How to reach the cluster.
pub(crate) fn connection(kafka: &config::Kafka) -> KafkaConfig {
    let mut wanted = KafkaConfig::new(kafka.brokers.join(","));
    let secret = |text: &config::Secret| Secret::new(text.expose());
    wanted.create_topics = kafka
        .create_topics
        .enabled
        .then(|| creation(&kafka.create_topics));
    wanted.sasl = kafka.sasl_mechanism.map(|mechanism| Sasl {
        mechanism: match mechanism {
            config::SaslMechanism::Plain => SaslMechanism::Plain,
            config::SaslMechanism::ScramSha256 => SaslMechanism::ScramSha256,
            config::SaslMechanism::ScramSha512 => SaslMechanism::ScramSha512,
        },
        username: kafka.sasl_username.clone().unwrap_or_default(),
        password: kafka
            .sasl_password
            .as_ref()
            .map_or_else(|| Secret::new(""), secret),
    });
    wanted.tls = kafka.tls.then(|| Tls {
        ca: kafka.tls_ca_file.clone(),
        certificate: kafka.tls_certificate_file.clone(),
        key: kafka.tls_key_file.clone(),
        key_password: kafka.tls_key_password.as_ref().map(secret),
    });
    wanted.compression = match kafka.compression {
        config::Compression::None => Compression::None,
        config::Compression::Gzip => Compression::Gzip,
        config::Compression::Snappy => Compression::Snappy,
        config::Compression::Lz4 => Compression::Lz4,
        config::Compression::Zstd => Compression::Zstd,
    };
    wanted.buffer_bytes = usize::try_from(kafka.buffer.0).unwrap_or(usize::MAX);
    wanted.properties = exposed(&kafka.properties);
    wanted
}

fn creation(topics: &config::CreateTopics) -> TopicCreation {
    // -1 is Kafka's word for the broker's default.
    TopicCreation {
        partitions: topics
            .partitions
            .map_or(-1, |count| i32::try_from(count).unwrap_or(i32::MAX)),
        replication_factor: topics.replication_factor.map_or(-1, i32::from),
        config: exposed(&topics.config),
    }
}

fn exposed(properties: &BTreeMap<String, config::Property>) -> BTreeMap<String, String> {
    properties
        .iter()
        .map(|(name, value)| (name.clone(), value.expose()))
        .collect()
}
