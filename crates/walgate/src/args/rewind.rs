//! `walgate rewind`.

use clap::Args;

use super::{Bound, ConfigFile};

const EXAMPLES: &str = "\
Examples:
  walgate rewind search --to 2026-11-21T09:00:00Z
  walgate rewind kafka --to 0/14A2F60 --accept-reorder -c walgate.toml

The sink of a walgate that runs gets again what the journal on disk retains: everything from the
first transaction at or after that place on, up to where it is, with the same ids; then it goes on.
What is confirmed never falls. After a stop or a crash before it is over it begins again with the
next start, before the sink gets anything else.";

/// Arguments of `walgate rewind`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct RewindArgs {
    /// The sink, as the configuration names it
    #[arg(value_name = "SINK")]
    pub sink: String,
    /// Where it begins: an LSN, an event id, or the first transaction of the log that was committed
    /// at this time (UTC) or later
    #[arg(long, value_name = "POSITION|TIME")]
    pub to: Place,
    /// Kafka: what comes again stands behind newer events, with the header walgate-replay
    #[arg(long)]
    pub accept_reorder: bool,
    /// Which file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The answer as one JSON object, for machines
    #[arg(long)]
    pub json: bool,
}

/// A place in the log, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub String);

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Bound>().map(|_| Self(text.to_owned()))
    }
}
