//! What a throw-away Kafka is started with.

use std::net::SocketAddr;

/// Options of [`Kafka::start`](crate::Kafka::start).
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Broker properties, after and above our own, e.g. `message.max.bytes`.
    pub properties: Vec<(String, String)>,
    /// Users and passwords; any of them opens listeners with SASL PLAIN and SCRAM. Letters, digits,
    /// spaces and `-_.!` only.
    pub users: Vec<(String, String)>,
    /// Opens a TLS listener, with certificates from an authority made for this broker.
    pub tls: bool,
    /// Turns ACLs on. The plain listener's user, `ANONYMOUS`, may do everything; the users nothing
    /// until an ACL grants it.
    pub authorizer: bool,
    /// Opens a second plain listener that tells its clients to come to this address: that of a
    /// [`FaultProxy`](crate::FaultProxy) before it.
    pub advertised: Option<SocketAddr>,
    /// Most memory of the broker's Java heap, in MiB.
    pub heap_mib: u32,
    /// Lets Java optimise what runs often, as in production: the first minute is slower, what comes
    /// then twice as fast. For who measures.
    pub optimised: bool,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            properties: Vec::new(),
            users: Vec::new(),
            tls: false,
            authorizer: false,
            advertised: None,
            // Enough for batches of some MiB and the log cleaner's 128 MiB buffer.
            heap_mib: 384,
            optimised: false,
        }
    }
}

impl KafkaOptions {
    /// Adds a broker property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Adds a user for SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    #[must_use]
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }
}
