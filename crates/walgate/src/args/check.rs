//! `walgate check`.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Period, Secret, SlotName};

const EXAMPLES: &str = "\
Examples:
  walgate check -c walgate.toml
  walgate check postgres://walgate@db.example.com/shop --publication walgate
  walgate check -c walgate.toml --json | jq '.findings[] | select(.level == \"fail\")'

It changes nothing, and tells all problems at once: what was seen, why it matters, and the statement
or parameter that fixes it, as this provider takes it. The exit code is 0 when nothing fails, also with
warnings, and 2 when something does. Sinks are not looked at.";

/// Arguments of `walgate check`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct CheckArgs {
    /// The server: a URL or key=value pairs, as libpq takes them [default: the configuration's, else
    /// the PG* environment variables]
    #[arg(value_name = "URL")]
    pub url: Option<Secret>,
    /// The configuration whose server, slot, publications and tables are meant; none is read unless it is named
    #[arg(short = 'c', long, value_name = "FILE", env = "WALGATE_CONFIG")]
    pub config: Option<PathBuf>,
    /// The slot [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    pub slot: Option<SlotName>,
    /// A publication; may be repeated [default: the configuration's]
    #[arg(long = "publication", value_name = "NAME", value_parser = super::tail::publication)]
    pub publications: Vec<String>,
    /// Only warn when max_slot_wal_keep_size is -1, so that nothing bounds what a slot holds back
    #[arg(long)]
    pub accept_unlimited_wal: bool,
    /// How long to measure the rate at which log is written
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = super::slots::interval)]
    pub measure: Period,
    /// One JSON object, for machines
    #[arg(long)]
    pub json: bool,
}
