//! `[state]`: what survives a restart.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Config, Destination, Kafka, TopicName};

/// What Walgate remembers between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct State {
    /// Folder of the checkpoint; created when missing, used by one Walgate at a time. It is small.
    /// Keep it with the slot: without it, the slot alone decides where to go on. A relative path
    /// starts at the folder of the configuration file.
    #[schemars(with = "String", length(min = 1), extend("x-active" = true))]
    pub dir: PathBuf,
    /// While another Walgate has the folder, which is then on a shared volume, or the slot: wait, and
    /// take over when it has ended. Otherwise a folder in use stops the start.
    pub standby: bool,
    /// A compacted Kafka topic that keeps the checkpoint instead of the folder, so that a Walgate on
    /// another machine can take over without a shared volume. Instances wait for each other as with
    /// `standby`; one that was replaced can't save or confirm anything any more. Not with a journal on
    /// disk.
    #[schemars(extend("examples" = ["walgate.checkpoints"]))]
    pub checkpoint_topic: Option<TopicName>,
    /// The Kafka sink whose cluster has `checkpoint_topic`; may be left out where there is only one. Its
    /// `create_topics` lets the topic be created.
    #[schemars(extend("examples" = ["kafka"]))]
    pub checkpoint_sink: Option<String>,
}

impl Config {
    /// The cluster and the topic that keep the checkpoint, when a topic does.
    #[must_use]
    pub fn checkpoint_topic(&self) -> Option<(&Kafka, &TopicName)> {
        let topic = self.state.checkpoint_topic.as_ref()?;
        let named = self.state.checkpoint_sink.as_ref();
        let mut sinks = self.sinks.iter();
        sinks.find_map(|(name, sink)| match &sink.destination {
            Destination::Kafka(kafka) if named.is_none_or(|named| named == name) => {
                Some((kafka.as_ref(), topic))
            }
            _ => None,
        })
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("walgate-state"),
            standby: false,
            checkpoint_topic: None,
            checkpoint_sink: None,
        }
    }
}
