//! `type = "kafka"`: what only this kind of sink has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Secret, Size, TopicName, TopicTemplate};

/// `type = "kafka"`
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Kafka {
    /// Brokers to start from, `host:port`.
    #[schemars(length(min = 1), extend("x-required" = true, "examples" = [["kafka-1.example.com:9092", "kafka-2.example.com:9092"]]))]
    pub brokers: Vec<String>,
    /// The topic of a table: literal text with `{database}`, `{schema}` and `{table}`.
    pub topic: TopicTemplate,
    /// Topic for `begin`, `commit`, `message` and `gap` events. One partition.
    #[schemars(extend("examples" = ["walgate.meta"]))]
    pub meta_topic: Option<TopicName>,
    /// Topic that gets every event in commit order as well, for consumers that need the order of
    /// the log. It gets `schema` and `commit` whether the sink asks for them or not. One partition,
    /// `cleanup.policy=delete`.
    #[schemars(extend("examples" = ["walgate.stream"]))]
    pub stream_topic: Option<TopicName>,
    /// Follow a delete with a tombstone, so that a compacted topic forgets the row.
    pub tombstones: bool,
    /// How batches are compressed.
    pub compression: Compression,
    /// Memory for records that Kafka has not acknowledged yet; it comes on top of the journal's.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1GiB"))]
    pub buffer: Size,
    /// Connect with TLS.
    pub tls: bool,
    /// Certificates of the authorities to trust, PEM; the system's when it is not set.
    #[schemars(with = "Option<String>", extend("examples" = ["/etc/walgate/kafka-ca.pem"]))]
    pub tls_ca_file: Option<PathBuf>,
    /// Walgate's own certificate, PEM.
    #[schemars(with = "Option<String>", extend("examples" = ["/etc/walgate/kafka.pem"]))]
    pub tls_certificate_file: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[schemars(with = "Option<String>", extend("examples" = ["/etc/walgate/kafka.key"]))]
    pub tls_key_file: Option<PathBuf>,
    /// The password of that key.
    #[schemars(extend("examples" = ["${file:/etc/walgate/kafka.key.password}"]))]
    pub tls_key_password: Option<Secret>,
    /// How to authenticate; not at all, or by the certificate, when it is not set.
    #[schemars(extend("examples" = ["SCRAM-SHA-512"]))]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// User of SASL.
    #[schemars(extend("examples" = ["walgate"]))]
    pub sasl_username: Option<String>,
    /// Password of SASL.
    #[schemars(extend("examples" = ["${file:/etc/walgate/kafka.password}"]))]
    pub sasl_password: Option<Secret>,
    /// Missing topics, and how to create them. Without it a missing topic stops the start.
    pub create_topics: CreateTopics,
    /// Any other property of librdkafka. What the promises stand on (`acks`, `enable.idempotence`
    /// and the like) can't be changed.
    #[schemars(extend("x-scalars" = true, "examples" = [{ "client.id": "walgate", "linger.ms": 5 }]))]
    pub properties: BTreeMap<String, Property>,
}

/// Missing topics, and how to create them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CreateTopics {
    /// Create a missing topic.
    pub enabled: bool,
    /// Partitions of a table's topic; the broker's default when it is not set. Rows of one key stay
    /// in order only while it is unchanged.
    #[schemars(range(min = 1, max = 100_000), extend("examples" = [6]))]
    pub partitions: Option<u32>,
    /// Copies of each partition; the broker's default when it is not set.
    #[schemars(range(min = 1, max = 100), extend("examples" = [3]))]
    pub replication_factor: Option<u16>,
    /// Settings of a table's topic.
    #[schemars(extend("x-scalars" = true, "examples" = [{ "cleanup.policy": "compact", "min.insync.replicas": 2 }]))]
    pub config: BTreeMap<String, Property>,
}

/// A value of a property: text, a whole number or a boolean, as Kafka's own files have them.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Property {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
}

impl Property {
    /// The value as Kafka takes it. It may be a secret.
    pub fn expose(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(flag) => flag.to_string(),
        }
    }
}

impl std::fmt::Debug for Property {
    /// Some properties are passwords, and which is known by the key only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(super::secret::HIDDEN)
    }
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// not at all
    None,
    /// gzip: slow, understood by everything
    Gzip,
    /// snappy
    Snappy,
    /// lz4: the least work for a good half of the bytes
    Lz4,
    /// zstd: the fewest bytes
    Zstd,
}

impl Compression {
    /// The name of librdkafka.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SaslMechanism {
    /// the password itself; only with `tls`
    #[serde(rename = "PLAIN")]
    Plain,
    /// challenge and response with SHA-256
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// challenge and response with SHA-512
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// The name of librdkafka.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that a test reads")]
        let topic = "{schema}.{table}"
            .parse()
            .expect("the default is a template");
        Self {
            brokers: Vec::new(),
            topic,
            meta_topic: None,
            stream_topic: None,
            tombstones: true,
            compression: Compression::None,
            buffer: Size(walgate_sink_kafka::DEFAULT_BUFFER_BYTES as u64),
            tls: false,
            tls_ca_file: None,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_key_password: None,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            create_topics: CreateTopics::default(),
            properties: BTreeMap::new(),
        }
    }
}
