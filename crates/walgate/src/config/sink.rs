//! `[sinks.NAME]`: what every sink has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Kafka, Period, Secret, Size, TablePattern, TopicName, Websocket};

/// Where changes go. The name appears in logs and in the checkpoint.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Sink {
    /// Whether the slot waits for this sink. A required sink never loses a change; an optional one
    /// never holds anything up, and when it falls behind the journal it loses changes, with a `gap`
    /// event in their place.
    pub required: bool,
    /// Tables that go here: `schema.table`, with `*` for any characters. Empty: all that are
    /// published.
    #[schemars(extend("examples" = [["public.*"]]))]
    pub tables: Vec<TablePattern>,
    /// Tables that don't, even when `tables` has them.
    #[schemars(extend("examples" = [["public.sessions", "*.tmp_*"]]))]
    pub exclude_tables: Vec<TablePattern>,
    /// Operations that go here.
    #[schemars(length(min = 1))]
    pub ops: Vec<Operation>,
    /// Write a `begin` and a `commit` event around the changes of each transaction.
    pub transactions: bool,
    /// Write a `schema` event with the columns of a table before its first row, and after each
    /// change of its definition.
    pub schema_events: bool,
    /// How bigint is written.
    pub int8: Int8,
    /// What to do with a change that the destination can never take (a row larger than the topic's
    /// limit, for example).
    pub on_definite: OnDefinite,
    /// Where a change goes that the destination can never take, with `on_definite = "dead-letter"`:
    /// a file, or a topic of the same Kafka.
    pub dead_letter: DeadLetter,
    /// How changes are put together into one write.
    pub batch: Batch,
    /// The key of the hash that replaces masked values; who has it can try values.
    #[schemars(length(min = 16), extend("examples" = ["${file:/etc/walgate/mask.key}"]))]
    pub mask_key: Option<Secret>,
    /// What is different for some tables, by `schema.table`, with `*` for any characters; all rules
    /// that match a table apply. Each takes `drop` (columns that are left out), `mask` (columns whose
    /// values are replaced by an HMAC-SHA-256: equal values stay equal), `key` (columns of the
    /// event's key instead of the replica identity) and `allow_key_columns` (columns of the key may
    /// be among those dropped or masked, which is refused otherwise); for Kafka also `topic` and
    /// `tombstones`, for one table.
    #[schemars(extend("examples" = [{ "public.users": { "drop": ["password_hash"], "key": ["tenant_id", "id"] } }]))]
    pub rules: BTreeMap<String, TableRule>,
    /// What kind of sink it is.
    #[serde(flatten)]
    pub destination: Destination,
}

/// What kind of sink it is, with what only this kind has.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Destination {
    /// standard output
    Stdout(Stdout),
    /// a file of JSON lines, fsynced
    File(File),
    /// Apache Kafka
    Kafka(Box<Kafka>),
    /// browsers and programs, over WebSocket and Server-Sent Events
    Websocket(Box<Websocket>),
}

impl Destination {
    /// The name in the configuration.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Stdout(_) => "stdout",
            Self::File(_) => "file",
            Self::Kafka(_) => "kafka",
            Self::Websocket(_) => "websocket",
        }
    }
}

/// `type = "stdout"`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Stdout {
    /// For machines or for people.
    pub format: StdoutFormat,
}

/// `type = "file"`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct File {
    /// The file; it is appended to. A relative path starts at the folder of the configuration file.
    #[schemars(
        with = "String",
        length(min = 1),
        extend("x-required" = true, "examples" = ["/var/lib/walgate/changes.ndjson"])
    )]
    pub path: PathBuf,
}

/// An operation of the native event that a sink can choose.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Deserialize,
    Serialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// a new row
    Insert,
    /// a changed row
    Update,
    /// a deleted row
    Delete,
    /// a truncated table
    Truncate,
    /// a message of `pg_logical_emit_message`
    Message,
}

/// How bigint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Int8 {
    /// a JSON number
    Number,
    /// a string, for readers that are doubles (JavaScript) and lose digits beyond 2^53
    String,
}

/// What is done with a change that can never be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDefinite {
    /// stop, with exit code 7 and the record named
    Stop,
    /// put it where `dead_letter` says, and go on
    DeadLetter,
}

/// Where a change goes that can never be taken: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DeadLetter {
    /// A file of JSON lines, fsynced; encrypted when the journal is, and then read with `walgate
    /// journal letters`. A relative path starts at the folder of the configuration file.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/var/lib/walgate/dead.ndjson"]))]
    pub file: Option<PathBuf>,
    /// A topic, for a sink of type `kafka`.
    #[schemars(extend("examples" = ["walgate.dead-letters"]))]
    pub topic: Option<TopicName>,
}

/// How changes are put together into one write: whichever limit is reached first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Batch {
    /// The most changes in one batch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub changes: u32,
    /// The most bytes in one batch; a larger change makes a batch of its own.
    #[schemars(extend("x-min" = "1KiB", "x-max" = "1GiB"))]
    pub bytes: Size,
    /// How long a change may wait for others when no more are at hand. With 0 it goes at once.
    #[schemars(extend("x-min" = "0ms", "x-max" = "1m"))]
    pub delay: Period,
}

/// What is different for some tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TableRule {
    /// Columns that are left out.
    pub drop: Vec<String>,
    /// Columns whose values are replaced by a keyed hash.
    pub mask: Vec<String>,
    /// Columns of the event's key, in this order, instead of those of the replica identity.
    #[schemars(length(min = 1))]
    pub key: Option<Vec<String>>,
    /// Columns of the key may be among those dropped or masked.
    pub allow_key_columns: bool,
    /// The table's topic instead of the template's; Kafka only.
    pub topic: Option<TopicName>,
    /// Instead of the sink's `tombstones`; Kafka only.
    pub tombstones: Option<bool>,
}

/// For whom the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StdoutFormat {
    /// one JSON object a line
    Json,
    /// one readable line a change
    Pretty,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] = [
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Truncate,
        Self::Message,
    ];
}

impl Default for Sink {
    fn default() -> Self {
        Self {
            required: true,
            tables: Vec::new(),
            exclude_tables: Vec::new(),
            ops: Operation::ALL.to_vec(),
            transactions: false,
            schema_events: false,
            int8: Int8::Number,
            on_definite: OnDefinite::Stop,
            dead_letter: DeadLetter::default(),
            batch: Batch::default(),
            mask_key: None,
            rules: BTreeMap::new(),
            destination: Destination::Stdout(Stdout::default()),
        }
    }
}

impl Default for Stdout {
    fn default() -> Self {
        Self {
            format: StdoutFormat::Json,
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            changes: 8_192,
            // Large enough that the cost of a write disappears, small enough to stay in the cache.
            bytes: Size::mib(1),
            delay: Period::milliseconds(0),
        }
    }
}
