//! What is configured of the push server.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use crate::access::Policy;
use crate::queue::QueueLimits;
use crate::snapshot::SnapshotLimits;

/// What is configured of the push server.
#[derive(Clone)]
pub struct PushOptions {
    /// The address and port to listen on.
    pub listen: String,
    /// Who may connect.
    pub policy: Policy,
    /// Origins of pages that may connect; a client that is no browser sends none. `*` for any.
    pub origins: Vec<String>,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections of one address at once.
    pub max_connections_of_one: usize,
    /// Connections of one subject at once, whatever addresses they come from.
    pub max_connections_of_subject: usize,
    /// New connections a second; more wait, in the order in which they came.
    pub max_new_a_second: u32,
    /// How much may wait for one client.
    pub queue: QueueLimits,
    /// Bytes that may wait for all of them together.
    pub memory: usize,
    /// What may be asked of snapshots.
    pub snapshots: SnapshotLimits,
    /// How often a client is asked whether it is there, and told its position.
    pub ping_every: Duration,
    /// The certificate of the moment, for TLS; it may change while we run.
    pub tls: Option<Certificate>,
    /// Whether the page is served at `/`. It holds no data: that needs the same rights as everywhere.
    pub page: bool,
    /// How the source does, for `/v1/source`; none where nobody looks.
    pub source: Option<SourceView>,
}

/// Gives what is known of the source at this moment, as a JSON object.
pub type SourceView = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// Gives the certificate that new connections are answered with.
pub type Certificate = Arc<dyn Fn() -> Arc<ServerConfig> + Send + Sync>;

impl std::fmt::Debug for PushOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushOptions")
            .field("listen", &self.listen)
            .field("policy", &self.policy)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}
