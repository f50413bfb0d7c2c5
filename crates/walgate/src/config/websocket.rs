//! `type = "websocket"`: what only this kind of sink has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, Size};

/// `type = "websocket"`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Websocket {
    /// The address and port to listen on, for `/v1/stream` (WebSocket) and `/v1/events` (Server-Sent
    /// Events).
    #[schemars(length(min = 1))]
    pub listen: String,
    /// Who may connect. When it is not set: who has a token, where there are some.
    #[schemars(extend("examples" = ["token"]))]
    pub policy: Option<PushPolicy>,
    /// Let everybody connect from other machines too, with `policy = "open"`; without TLS, tokens may
    /// be read on their way.
    pub insecure: bool,
    /// Who has which token, by a name that appears in the log. Each takes `sha256` (the token's hash:
    /// `printf %s "$TOKEN" | sha256sum`) and `tables` (`schema.table` or `schema.*`; all when it is left
    /// out).
    #[schemars(extend("examples" = [{ "dashboard": { "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "tables": ["public.*"] } }]))]
    pub tokens: BTreeMap<String, PushToken>,
    /// Origins of web pages that may connect, like `https://app.example.com`; `*` for any. Pages of
    /// the server's own host always may.
    #[schemars(extend("examples" = [["https://app.example.com"]]))]
    pub origins: Vec<String>,
    /// What a client that comes back is promised: everything since (`resumable`, which needs a
    /// journal on disk), or only what comes from then on (`live-only`).
    #[schemars(extend("x-required" = true, "examples" = ["live-only"]))]
    pub delivery: PushDelivery,
    /// Connections at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// Connections of one address at once; a proxy in front is one address.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_of_one: u32,
    /// New connections a second; more wait.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_new_a_second: u32,
    /// Events that may wait for one client. Who falls behind by more is sent away with its position,
    /// and comes back for the rest.
    #[schemars(range(min = 16, max = 10_000_000))]
    pub queue_events: u32,
    /// Bytes that may wait for one client.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "1GiB"))]
    pub queue_bytes: Size,
    /// Memory of all events that wait for clients, which share it.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "64GiB"))]
    pub memory: Size,
    /// How often a client is asked whether it is there, and told its position.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub ping: Period,
    /// Certificate chain in PEM, for TLS.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/tls.crt"]))]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/tls.key"]))]
    pub tls_key: Option<PathBuf>,
}

impl Websocket {
    /// Who may connect.
    pub fn policy(&self) -> PushPolicy {
        let by_tokens = match self.tokens.is_empty() {
            true => PushPolicy::Open,
            false => PushPolicy::Token,
        };
        self.policy.unwrap_or(by_tokens)
    }
}

/// Who may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PushPolicy {
    /// everybody who reaches the address: for loopback
    Open,
    /// who has one of `tokens`
    Token,
}

/// What a client that comes back is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PushDelivery {
    /// everything since, as far as the journal on disk retains it
    Resumable,
    /// nothing: it sees what comes from then on
    LiveOnly,
}

/// A token that opens the push server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PushToken {
    /// SHA-256 of the token, 64 hexadecimal digits.
    #[schemars(length(min = 64, max = 64))]
    pub sha256: String,
    /// What it opens: `schema.table` or `schema.*`; all when it is left out.
    pub tables: Vec<String>,
}

impl Default for Websocket {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9465".to_owned(),
            policy: None,
            insecure: false,
            tokens: BTreeMap::new(),
            origins: Vec::new(),
            delivery: PushDelivery::LiveOnly,
            max_connections: 10_000,
            max_connections_of_one: 1_000,
            max_new_a_second: 1_000,
            queue_events: 65_536,
            queue_bytes: Size::mib(16),
            memory: Size::mib(256),
            ping: Period::seconds(15),
            tls_cert: None,
            tls_key: None,
        }
    }
}
