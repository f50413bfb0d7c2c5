//! Changes to Apache Kafka.
//!
//! [`KafkaSink`] delivers encoded events in the order of the log: to a topic for each table, with
//! the key as Kafka key and Java's murmur2 as partitioner, tombstones behind deletes, and
//! optionally to one topic that has everything in commit order.
//!
//! # What holds
//!
//! - The producer is idempotent with `acks=all` and `enable.gapless.guarantee`: no retry changes
//!   the order, and a refused batch ends the producer before anything can overtake it.
//! - [`delivered`](walgate_core::Sink::delivered) is the contiguous prefix of delivery reports over
//!   all messages of a record. A report costs no allocation and no future.
//! - An outage is back-pressure, however long: nothing times out, one line every 30 s says so.
//! - After an error the old producer's requests are waited for (up to 30 s) before a new one
//!   repeats anything, so nothing stale lands behind a repeat. A broker that is frozen for longer
//!   while it holds a request, and processes it after all, can break that; only Kafka's
//!   transactions could rule it out.
//! - Memory: [`KafkaConfig::buffer_bytes`] bounds what waits, librdkafka's overhead included. One
//!   record may be larger and then waits alone.
#![deny(unsafe_code)]

mod checkpoint;
mod cluster;
mod config;
mod flight;
mod flush;
mod lanes;
mod ledger;
mod live;
mod murmur2;
mod native;
mod outage;
mod preflight;
mod produce;
mod properties;
mod refusal;
mod rights;
mod routes;
mod send;
mod sink;
mod statistics;
mod template;
mod topics;
mod verdict;

pub use checkpoint::{CheckpointTopic, TopicError};
pub use config::{
    Compression, DEFAULT_BUFFER_BYTES, KafkaConfig, Sasl, SaslMechanism, TableOverride, Tls,
    TopicCreation,
};
pub use preflight::{TopicFacts, TopicLook, TopicState, look};
pub use sink::KafkaSink;
pub use statistics::{BrokerStatistics, KafkaStatistics, StatisticsHandle};
pub use template::{TopicNameError, TopicTemplate};
pub use walgate_core::Secret;
