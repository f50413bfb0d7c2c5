//! `walgate gateway`.

use clap::Args;

use super::ConfigFile;

const EXAMPLES: &str = "\
Examples:
  walgate gateway                                read walgate.toml of this folder
  walgate gateway -c /etc/walgate/gateway.toml

The file names the topic ([gateway] brokers and topic), a folder ([journal] path), and the servers for
clients ([sinks.NAME] type = \"websocket\"). There is no database: [source] says nothing here.

SIGTERM and Ctrl-C end it; clients resume at any other gateway of the same topic.";

/// Arguments of `walgate gateway`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct GatewayArgs {
    /// Which file.
    #[command(flatten)]
    pub file: ConfigFile,
}
