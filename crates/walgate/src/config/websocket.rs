//! `type = "websocket"`: what only this kind of sink has.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use walgate_sink_websocket::{CertificateSubject, Claims, Rule, RuleText, Token};

use super::{Period, Secret, Size};

/// `type = "websocket"`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Websocket {
    /// The address and port to listen on, for `/v1/stream` (WebSocket) and `/v1/events` (Server-Sent
    /// Events).
    #[schemars(length(min = 1))]
    pub listen: String,
    /// Who may connect. When it is not set: who has a token or a certificate, where there are some.
    #[schemars(extend("examples" = ["token"]))]
    pub policy: Option<PushPolicy>,
    /// Let everybody connect from other machines too, with `policy = "open"`; without TLS, tokens may
    /// be read on their way.
    pub insecure: bool,
    /// Who has which token, by a name that appears in the log. Each takes `sha256` (the token's hash:
    /// `printf %s "$TOKEN" | sha256sum`), `tables` (`schema.table` or `schema.*`; all when it is left
    /// out) and `claims` (what `access_rules` ask for).
    #[schemars(extend("examples" = [{ "dashboard": { "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "tables": ["public.*"], "claims": { "experiments": [1, 2] } } }]))]
    pub tokens: BTreeMap<String, PushToken>,
    /// Who is known by a client certificate that an authority of `client_ca` has signed, by a name of it: a
    /// DNS name, URI or mail address, or its CN where it has none of these. Each takes `tables` and
    /// `claims`, as a token does.
    #[schemars(extend("examples" = [{ "backup.example.com": { "tables": ["public.*"] } }]))]
    pub subjects: BTreeMap<String, PushSubject>,
    /// JSON Web Tokens, which are taken beside `tokens`.
    pub jwt: PushJwt,
    /// What of a table is shown to whom, by names of your own. Each takes `tables` and some of: `where`
    /// (the rows that are shown: a row filter in which `claims.NAME` is what a token says), `columns`
    /// (the only ones that are shown), `hidden` (columns that are not), `unless` (a claim that frees of
    /// the rule where it is `true`). All rules about a table hold at once.
    #[schemars(extend("examples" = [{ "experiments": { "tables": ["public.agent_steps"], "where": "experiment_id in claims.experiments", "hidden": ["notes"], "unless": "admin" } }]))]
    pub access_rules: BTreeMap<String, AccessRule>,
    /// Origins of web pages that may connect, like `https://app.example.com`; `*` for any. Pages of
    /// the server's own host always may.
    #[schemars(extend("examples" = [["https://app.example.com"]]))]
    pub origins: Vec<String>,
    /// What a client that comes back is promised: everything since (`resumable`, which needs a
    /// journal on disk), or only what comes from then on (`live-only`).
    #[schemars(extend("x-required" = true, "examples" = ["live-only"]))]
    pub delivery: PushDelivery,
    /// Serve a page at `/` that shows what happens. It holds no data by itself: what it shows, it gets as
    /// everybody does.
    pub page: bool,
    /// Connections at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: u32,
    /// Connections of one address at once; a proxy in front is one address.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_of_one: u32,
    /// Connections of one subject at once, wherever they come from: of who has a token of `tokens`, of a
    /// `sub` of JSON Web Tokens, or of a certificate's name. More are closed with 4430, to come back later.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_of_subject: u32,
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
    /// Snapshots (`snapshot=true`: the rows that there are, then the changes) at once; more wait. Each is a transaction on
    /// the source. 0: none.
    #[schemars(range(max = 100))]
    pub snapshots: u32,
    /// Rows of a snapshot at most.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub snapshot_rows: u64,
    /// How long a snapshot may take. While it does, the source keeps old versions of rows.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h"))]
    pub snapshot_time: Period,
    /// How often a client is asked whether it is there, and told its position.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub ping: Period,
    /// Certificate chain in PEM, for TLS.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/tls.crt"]))]
    pub tls_cert: Option<PathBuf>,
    /// Its private key in PEM.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/tls.key"]))]
    pub tls_key: Option<PathBuf>,
    /// Authorities in PEM whose certificates clients may show, for `subjects`. Who shows none needs a
    /// token.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/clients-ca.pem"]))]
    pub client_ca: Option<PathBuf>,
}

impl Websocket {
    /// Whether nobody can show who they are.
    pub fn knows_nobody(&self) -> bool {
        self.tokens.is_empty() && self.subjects.is_empty() && self.jwt.algorithm.is_none()
    }

    /// Who may connect.
    pub fn policy(&self) -> PushPolicy {
        let by_tokens = match self.knows_nobody() {
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
    /// who has a token, or a certificate of `subjects`
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
    pub tables: Option<Vec<String>>,
    /// What it says of who has it.
    #[schemars(extend("x-any" = true))]
    pub claims: BTreeMap<String, Claim>,
}

/// JSON Web Tokens (RFC 7519) that open the push server. They need `exp`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PushJwt {
    /// How they are signed. None are taken when it is not set; a token that says something else of
    /// itself is refused.
    #[schemars(extend("examples" = ["RS256"]))]
    pub algorithm: Option<PushAlgorithm>,
    /// The secret that is shared with who signs them, for `HS256`: at least 32 bytes.
    #[schemars(extend("examples" = ["${file:/etc/walgate/jwt.secret}"]))]
    pub secret: Option<Secret>,
    /// The public key of who signs them, a file in PEM.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/jwt.pem"]))]
    pub key: Option<PathBuf>,
    /// The public keys, as a JSON Web Key Set: a file, or an address with https.
    #[schemars(length(min = 1), extend("examples" = ["https://id.example.com/.well-known/jwks.json"]))]
    pub jwks: Option<String>,
    /// How often the set is read again. It also is when a token names a key that is not in it.
    #[schemars(extend("x-min" = "10s", "x-max" = "1d"))]
    pub jwks_refresh: Period,
    /// Whom they have to be for (`aud`): one of these. Without any, tokens that are for somebody are
    /// refused.
    #[schemars(extend("examples" = [["walgate"]]))]
    pub audience: Vec<String>,
    /// Who has to have made them (`iss`): one of these; anybody who has the key when there are none.
    #[schemars(extend("examples" = [["https://id.example.com"]]))]
    pub issuer: Vec<String>,
    /// How far the clock of who makes them may be from ours.
    #[schemars(extend("x-min" = "0s", "x-max" = "10m"))]
    pub skew: Period,
    /// The claim that lists the tables that a token opens; all when it is not set.
    #[schemars(length(min = 1), extend("examples" = ["tables"]))]
    pub tables_claim: Option<String>,
}

impl Default for PushJwt {
    fn default() -> Self {
        Self {
            algorithm: None,
            secret: None,
            key: None,
            jwks: None,
            jwks_refresh: Period::seconds(300),
            audience: Vec::new(),
            issuer: Vec::new(),
            skew: Period::seconds(30),
            tables_claim: None,
        }
    }
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum PushAlgorithm {
    /// HMAC with SHA-256, of a secret that is shared
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA with SHA-256
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Who is known by a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PushSubject {
    /// What it opens: `schema.table` or `schema.*`; all when it is left out.
    pub tables: Option<Vec<String>>,
    /// What it says of who has it.
    #[schemars(extend("x-any" = true))]
    pub claims: BTreeMap<String, Claim>,
}

impl PushSubject {
    /// The subject of this name.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(&self, name: &str) -> Result<CertificateSubject, String> {
        CertificateSubject::new(name, self.tables.as_deref(), claims(&self.claims))
    }
}

fn claims(all: &BTreeMap<String, Claim>) -> Claims {
    let all = all.iter();
    let all = all.map(|(name, claim)| (name.clone(), claim.0.clone()));
    Claims::from(all.collect::<serde_json::Map<_, _>>())
}

/// What of some tables is shown to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AccessRule {
    /// `schema.table`, `schema.*` or `*`.
    pub tables: Vec<String>,
    /// The rows that are shown.
    #[serde(rename = "where")]
    #[schemars(length(min = 1))]
    pub rows: Option<String>,
    /// The only columns that are shown.
    pub columns: Option<Vec<String>>,
    /// Columns that are not shown.
    pub hidden: Vec<String>,
    /// The claim that frees of the rule where it is `true`.
    #[schemars(length(min = 1))]
    pub unless: Option<String>,
}

impl AccessRule {
    /// The rule.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(&self) -> Result<Rule, String> {
        Rule::new(RuleText {
            tables: &self.tables,
            rows: self.rows.as_deref(),
            columns: self.columns.as_deref(),
            hidden: &self.hidden,
            unless: self.unless.as_deref(),
        })
    }
}

impl PushToken {
    /// The token of this name.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(&self, name: &str) -> Result<Token, String> {
        Token::new(
            name,
            &self.sha256,
            self.tables.as_deref(),
            claims(&self.claims),
        )
    }
}

/// A claim: text, a number, a boolean, or a list of them.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Claim(#[schemars(with = "serde_json::Value")] pub serde_json::Value);

impl std::fmt::Debug for Claim {
    /// It is about a person.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(super::secret::HIDDEN)
    }
}

impl Default for Websocket {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9465".to_owned(),
            policy: None,
            insecure: false,
            tokens: BTreeMap::new(),
            subjects: BTreeMap::new(),
            jwt: PushJwt::default(),
            access_rules: BTreeMap::new(),
            origins: Vec::new(),
            delivery: PushDelivery::LiveOnly,
            page: true,
            max_connections: 10_000,
            max_connections_of_one: 1_000,
            max_connections_of_subject: 1_000,
            max_new_a_second: 1_000,
            queue_events: 65_536,
            queue_bytes: Size::mib(16),
            memory: Size::mib(256),
            snapshots: 2,
            snapshot_rows: 1_000_000,
            snapshot_time: Period::seconds(60),
            ping: Period::seconds(15),
            tls_cert: None,
            tls_key: None,
            client_ca: None,
        }
    }
}
