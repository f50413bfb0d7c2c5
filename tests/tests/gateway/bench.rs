//! A database, a `walgate run` in front, and gateways behind its topic.

use std::ffi::OsStr;

use anyhow::Result;
use walgate_tests::{Bed, Program, journal_on_disk};
use walgate_throwaway::PgVersion;

use crate::push::websocket;

/// What is in front of the gateways.
pub(crate) struct Front {
    pub(crate) bed: Bed,
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
}

impl Front {
    /// A database of its own, and a sink that writes everything into a stream topic of its own.
    pub(crate) fn new(
        version: PgVersion,
        name: &str,
        setup: &str,
        bootstrap: String,
    ) -> Result<Self> {
        let mut bed = Bed::shared(version, name, setup)?;
        let topic = format!("{name}-{}.stream", std::process::id());
        bed.more = journal_on_disk("");
        bed.sinks = format!(
            "[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"{bootstrap}\"]\n\
             topic = \"{name}-{}.all\"\nstream_topic = \"{topic}\"\n\
             create_topics = {{ enabled = true, partitions = 1, replication_factor = 1 }}\n",
            std::process::id()
        );
        bed.begin()?;
        Ok(Self {
            bed,
            bootstrap,
            topic,
        })
    }

    /// The configuration of a gateway with a folder of its own, and more lines of `[gateway]`.
    pub(crate) fn config(&self, name: &str, more: &str) -> Result<std::path::PathBuf> {
        let file = self.bed.path(&format!("{name}.toml"));
        let text = format!(
            "[gateway]\nbrokers = [\"{}\"]\ntopic = \"{}\"\n{more}\n\
             [state]\ndir = \"{name}-state\"\n\
             [journal]\npath = \"{name}-journal\"\nsegment = \"1MiB\"\nkeep_free = 0\n\
             [http]\nlisten = \"127.0.0.1:0\"\n{}\n",
            self.bootstrap,
            self.topic,
            // A test that looks elsewhere does not answer pings.
            websocket("delivery = \"resumable\"").replace("ping = \"1s\"", "ping = \"10m\"")
        );
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Starts a gateway.
    pub(crate) fn gateway(&self, name: &str) -> Result<Program> {
        start(&self.config(name, "")?)
    }
}

/// Starts a gateway with that configuration.
pub(crate) fn start(config: &std::path::Path) -> Result<Program> {
    Program::start([OsStr::new("gateway"), OsStr::new("-c"), config.as_os_str()])
}
