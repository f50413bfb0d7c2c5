//! Rules of `[state]`.

use super::Rules;
use crate::config::{Config, Destination};

impl Rules<'_> {
    pub(super) fn state(&mut self, config: &Config) {
        let state = &config.state;
        if state.checkpoint_topic.is_none() {
            if state.checkpoint_sink.is_some() {
                self.refuse(
                    &["state", "checkpoint_sink"],
                    "`state.checkpoint_sink` is never used without `state.checkpoint_topic`",
                    "name the topic, or leave it out",
                );
            }
            return;
        }
        if config.journal.path.is_some() {
            self.refuse(
                &["state", "checkpoint_topic"],
                "a checkpoint in Kafka goes on on another machine, where the journal on disk is not",
                "leave out [journal] path; or put state.dir and journal.path on a shared volume, with \
                 state.standby = true",
            );
        }
        let kafka = |name: &String| {
            let sink = config.sinks.get(name);
            sink.is_some_and(|sink| matches!(sink.destination, Destination::Kafka(_)))
        };
        match &state.checkpoint_sink {
            Some(name) if kafka(name) => {}
            Some(name) => self.refuse(
                &["state", "checkpoint_sink"],
                format!("there is no Kafka sink {name}"),
                "name a [sinks.NAME] of type = \"kafka\": the topic is in its cluster",
            ),
            None if config.sinks.keys().filter(|name| kafka(name)).count() == 1 => {}
            None => self.refuse(
                &["state", "checkpoint_topic"],
                "`state.checkpoint_topic` is in the cluster of a Kafka sink, and which is not clear",
                "name it: state.checkpoint_sink = \"NAME\"",
            ),
        }
    }
}
