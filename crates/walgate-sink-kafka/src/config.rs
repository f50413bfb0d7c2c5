//! What can be set.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::{Secret, TopicTemplate, properties};

/// Bytes that may wait in the producer, an overhead of 512 for each message included: 12 MiB are
/// about 12,000 small rows, 40 ms of work for a broker that takes 300,000 in a second. More only makes
/// them wait in here, and the program's 96 MiB have to hold the journal's 64, too.
pub const DEFAULT_BUFFER_BYTES: usize = 12 << 20;

/// Everything that the Kafka sink can be told.
///
/// It is not serializable and its `Debug` shows no secret, so nothing can leak into a log.
#[derive(Clone)]
pub struct KafkaConfig {
    /// `bootstrap.servers`: host:port, separated by commas.
    pub bootstrap_servers: String,
    /// The topic of a table.
    pub topic: TopicTemplate,
    /// Where `begin`, `commit`, `message`, `schema` and `gap` go; they go nowhere without it,
    /// except that a gap is also announced in every topic. One partition.
    pub meta_topic: Option<String>,
    /// Whether `begin` goes to the meta topic and the stream topic, and `commit` to the meta topic; a
    /// sink with a stream topic is to be given them in any case.
    pub transactions: bool,
    /// Whether `schema` goes to the meta topic; a sink with a stream topic is to be given it in any
    /// case.
    pub schemas: bool,
    /// Where every event goes too, in commit order, with `schema` and `commit`: who reads it knows
    /// how to read the rows, and when a transaction is whole. One partition, `cleanup.policy=delete`.
    pub stream_topic: Option<String>,
    /// Whether a delete is followed by a tombstone for its key.
    pub tombstones: bool,
    /// How missing topics are created; `None`: they are an error.
    pub create_topics: Option<TopicCreation>,
    /// What differs for a table, by `schema.table`.
    pub tables: BTreeMap<String, TableOverride>,
    /// User and password; `None`: no SASL.
    pub sasl: Option<Sasl>,
    /// TLS; `None`: plain text.
    pub tls: Option<Tls>,
    /// `compression.type`.
    pub compression: Compression,
    /// Most bytes that wait in the producer, overhead included. A single record may be larger.
    pub buffer_bytes: usize,
    /// The value of the header `walgate-replay` of every record: what it comes again by. `None`: it
    /// does not come again, and has no such header.
    pub replay: Option<String>,
    /// Any property of librdkafka, passed through; it wins over the fields above. Those that would
    /// break order or durability are refused.
    pub properties: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// The defaults for a cluster.
    pub fn new(bootstrap_servers: impl Into<String>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            topic: TopicTemplate::default(),
            meta_topic: None,
            transactions: true,
            schemas: true,
            stream_topic: None,
            tombstones: true,
            create_topics: None,
            tables: BTreeMap::new(),
            sasl: None,
            tls: None,
            compression: Compression::None,
            buffer_bytes: DEFAULT_BUFFER_BYTES,
            replay: None,
            properties: BTreeMap::new(),
        }
    }

    /// How the cluster is reached, in librdkafka's words: for a client that delivers nothing.
    pub fn connection_properties(&self) -> BTreeMap<String, String> {
        let client = properties::admin(self);
        let map = client.config_map();
        let owned = |(name, value): (&&str, &&str)| ((*name).to_owned(), (*value).to_owned());
        map.iter().map(owned).collect()
    }

    /// What differs for a table.
    pub(crate) fn table(&self, schema: &str, table: &str) -> Option<&TableOverride> {
        if self.tables.is_empty() {
            return None;
        }
        self.tables.get(&format!("{schema}.{table}"))
    }
}

impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("topic", &self.topic)
            .field("meta_topic", &self.meta_topic)
            .field("stream_topic", &self.stream_topic)
            .field("transactions", &self.transactions)
            .field("schemas", &self.schemas)
            .field("tombstones", &self.tombstones)
            .field("create_topics", &self.create_topics)
            .field("tables", &self.tables)
            .field("sasl", &self.sasl)
            .field("tls", &self.tls)
            .field("compression", &self.compression)
            .field("buffer_bytes", &self.buffer_bytes)
            .field("replay", &self.replay)
            // Names only: a value may be a password, an OAuth secret or a key in PEM.
            .field("properties", &self.properties.keys())
            .finish()
    }
}

/// How missing topics are created. The meta topic and the stream topic always get one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCreation {
    /// Partitions of a table's topic; -1: the broker's default.
    pub partitions: i32,
    /// Replicas; -1: the broker's default.
    pub replication_factor: i32,
    /// Further settings of the topic, such as `retention.ms`.
    pub config: BTreeMap<String, String>,
}

impl Default for TopicCreation {
    fn default() -> Self {
        Self {
            partitions: -1,
            replication_factor: -1,
            config: BTreeMap::new(),
        }
    }
}

/// What differs for one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOverride {
    /// The topic, instead of the template's. Tables that name the same topic share it.
    pub topic: Option<String>,
    /// Instead of [`KafkaConfig::tombstones`].
    pub tombstones: Option<bool>,
    /// Instead of [`KafkaConfig::create_topics`], as a whole.
    pub create: Option<TopicCreation>,
}

/// `compression.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// librdkafka's name.
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

/// User and password. Other mechanisms go through [`KafkaConfig::properties`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How they are sent.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// `sasl.mechanism`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password itself: only behind TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// TLS; brokers are verified, their names included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// Certificates (PEM) of the authorities that are trusted; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate (PEM), where brokers ask for one.
    pub certificate: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// The key's password.
    pub key_password: Option<Secret>,
}
