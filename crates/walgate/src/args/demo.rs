//! `walgate demo`.

use clap::Args;

use super::OutputFormat;

/// Arguments of `walgate demo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
#[command(
    after_help = "Examples:\n  walgate demo\n  walgate demo --seconds 20\n  walgate demo --kafka\n  \
                        walgate demo --seconds 5 --format json > changes.ndjson\n\n\
                        Ctrl-C leaves nothing running and nothing on disk."
)]
pub struct DemoArgs {
    /// Send the changes through a throw-away Apache Kafka too, and read them back
    #[arg(long)]
    pub kafka: bool,
    /// End after so many seconds, with a summary
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// For machines or for people
    #[arg(long, value_enum, default_value_t = OutputFormat::Pretty)]
    pub format: OutputFormat,
}
