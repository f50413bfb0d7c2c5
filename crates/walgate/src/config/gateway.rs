//! `[gateway]`: the log from a topic of Kafka, for `walgate gateway`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Kafka, Period, Property, SaslMechanism, Secret, TopicName};

/// Where `walgate gateway` reads the log: the `stream_topic` of a Kafka sink of some `walgate run`. It
/// serves the sinks of type websocket, and keeps what clients resume from in the journal; `walgate run`
/// takes no notice of this section.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Gateway {
    /// Brokers to start from, `host:port`.
    #[schemars(extend("examples" = [["kafka-1.example.com:9092", "kafka-2.example.com:9092"]]))]
    pub brokers: Vec<String>,
    /// The topic. It has one partition.
    #[schemars(extend("examples" = ["walgate.stream"]))]
    pub topic: Option<TopicName>,
    /// How far back a gateway reads that begins with an empty journal, or whose journal ends where the
    /// topic no longer reaches. What it keeps after that is the journal's: `replay_age`, `replay_bytes`.
    #[schemars(extend("x-min" = "0ms", "x-max" = "365d"))]
    pub window: Period,
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
    /// User of SASL. It has to be allowed to read and describe the topic; there is no consumer group.
    #[schemars(extend("examples" = ["walgate"]))]
    pub sasl_username: Option<String>,
    /// Password of SASL.
    #[schemars(extend("examples" = ["${file:/etc/walgate/kafka.password}"]))]
    pub sasl_password: Option<Secret>,
    /// Any other property of librdkafka for a consumer.
    #[schemars(extend("x-scalars" = true, "examples" = [{ "client.id": "walgate-gateway" }]))]
    pub properties: BTreeMap<String, Property>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topic: None,
            // A deploy and a lunch break; a day of a busy source takes long to read.
            window: Period::seconds(60 * 60),
            tls: false,
            tls_ca_file: None,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_key_password: None,
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            properties: BTreeMap::new(),
        }
    }
}

impl Gateway {
    /// How the cluster is reached, as a sink would reach it.
    #[must_use]
    pub fn cluster(&self) -> Kafka {
        Kafka {
            brokers: self.brokers.clone(),
            tls: self.tls,
            tls_ca_file: self.tls_ca_file.clone(),
            tls_certificate_file: self.tls_certificate_file.clone(),
            tls_key_file: self.tls_key_file.clone(),
            tls_key_password: self.tls_key_password.clone(),
            sasl_mechanism: self.sasl_mechanism,
            sasl_username: self.sasl_username.clone(),
            sasl_password: self.sasl_password.clone(),
            properties: self.properties.clone(),
            ..Kafka::default()
        }
    }
}
