//! `walgate status`.

use clap::Args;

use super::ConfigFile;

const EXAMPLES: &str = "\
Examples:
  walgate status
  walgate status -c /etc/walgate/walgate.toml --json | jq .troubles

It asks the walgate that runs with this configuration, through the socket in its state directory. The
exit code is 0 when that is healthy: it streams and has room, no sink fails, its slot is in no danger
within the hour, what the slot holds back can be seen, and no alert is critical. It is 1 when
something of that is not so, each of which is named, and when no walgate runs there.";

/// Arguments of `walgate status`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct StatusArgs {
    /// Which file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// One JSON object, for machines
    #[arg(long)]
    pub json: bool,
}
