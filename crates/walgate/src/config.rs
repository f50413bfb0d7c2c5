//! `walgate.toml`: what can be configured, and how it is read, checked and shown.
//!
//! The structs of this module are the one definition: their doc comments, defaults and bounds make
//! the JSON schema ([`json_schema`]), and the schema is what a file is checked against, what the
//! complete example is written from and what `config explain` walks along. Rules between keys are
//! in `rules`. Plain data; turning it into what the engine takes is the wiring's work.

mod alerts;
mod bounded;
mod check;
mod connection;
mod document;
mod example;
mod explain;
mod gateway;
mod guard;
mod http;
mod journal;
mod kafka;
mod load;
mod log;
mod pattern;
mod period;
mod place;
mod problem;
mod reload;
mod rules;
mod schema;
mod secret;
mod sink;
mod size;
mod slot_name;
mod source;
mod state;
mod substitute;
mod text;
mod topic;
mod watch;
mod websocket;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use alerts::Alerts;
pub use example::example;
pub use explain::explain;
pub use gateway::Gateway;
pub use guard::{Guard, PolicyStep, Severity};
pub use http::Http;
pub use journal::{ConfirmBy, Journal, JournalCompression, OnDamage, OnFull, OnLargeTransaction};
pub use kafka::{Compression, CreateTopics, Kafka, Property, SaslMechanism};
pub use load::{Loaded, Overrides, Surroundings, load};
pub use log::{Log, LogFormat, LogLevel};
pub use pattern::TablePattern;
pub use period::Period;
pub use place::{Origin, Place};
pub use problem::{Problem, Problems};
pub use reload::{ReloadPlan, diff};
pub use schema::json_schema;
pub use secret::{Secret, redact_url};
pub use sink::{
    Batch, DeadLetter, Destination, File, Int8, OnDefinite, Operation, Sink, Stdout, StdoutFormat,
    TableRule,
};
pub use size::Size;
pub use slot_name::SlotName;
pub use source::{Binary, OnGap, OnMissingTable, PublicationMode, Source};
pub use state::State;
pub use text::Refused;
pub use topic::{TopicName, TopicTemplate};
pub use watch::Watch;
pub use websocket::{
    AccessRule, Claim, PushAlgorithm, PushDelivery, PushJwt, PushPolicy, PushSubject, PushToken,
    Websocket,
};

/// The whole configuration.
///
/// It has no `Serialize`: it holds secrets.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "walgate.toml")]
pub struct Config {
    /// How long a stop may take: what is in flight is delivered and confirmed, then Walgate ends.
    /// Keep it below what the supervisor grants (Kubernetes: 30 s, systemd: 90 s).
    #[schemars(extend("x-min" = "0ms", "x-max" = "1h"))]
    pub shutdown_timeout: Period,
    /// The database that changes are read from.
    pub source: Source,
    /// Where changes wait between the database and the sinks.
    pub journal: Journal,
    /// What Walgate remembers between two runs.
    pub state: State,
    /// The log from a topic of Kafka, for `walgate gateway`.
    pub gateway: Gateway,
    /// Where changes go: one table `[sinks.NAME]` for each sink. At least one is required.
    pub sinks: BTreeMap<String, Sink>,
    /// The eye on what slots hold back.
    pub watch: Watch,
    /// From when on it is bad, and what is done then. Thresholds, `raise_after`, `settle_after` and
    /// `hysteresis` can change while Walgate runs: SIGHUP. The policy waits for the next start.
    pub guard: Guard,
    /// Who is told. All of it can change while Walgate runs: SIGHUP.
    pub alerts: Alerts,
    /// Metrics, probes and the state of the service.
    pub http: Http,
    /// The log, on stderr. Data never goes there, and nothing else goes to stdout.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shutdown_timeout: Period::seconds(20),
            source: Source::default(),
            journal: Journal::default(),
            state: State::default(),
            gateway: Gateway::default(),
            sinks: BTreeMap::new(),
            watch: Watch::default(),
            guard: Guard::default(),
            alerts: Alerts::default(),
            http: Http::default(),
            log: Log::default(),
        }
    }
}
