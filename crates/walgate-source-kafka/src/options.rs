//! What a source is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use walgate_core::Position;

/// Which topic is read, and from where.
#[derive(Clone)]
pub struct KafkaSourceOptions {
    /// The `stream_topic` of a Kafka sink.
    pub topic: String,
    /// How the cluster is reached, in librdkafka's words: `bootstrap.servers`, TLS, SASL.
    pub properties: BTreeMap<String, String>,
    /// From where on it is read.
    pub begin: Begin,
}

impl fmt::Debug for KafkaSourceOptions {
    /// Never shows the properties: some are passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSourceOptions")
            .field("topic", &self.topic)
            .field("begin", &self.begin)
            .finish_non_exhaustive()
    }
}

/// From where on a topic is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// Behind this, which is there from before; when the topic does not reach it any more, as if nothing
    /// were there.
    pub behind: Option<Position>,
    /// Where nothing is there: what was written so long ago. The first whole transaction of that time is
    /// where it begins.
    pub window: Duration,
}
