//! `walgate check`.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Period, Secret, SlotName};

const EXAMPLES: &str = "\
Examples:
  walgate check -c walgate.toml
  walgate check postgres://walgate@db.example.com/shop --publication walgate
  walgate check -c walgate.toml --json | jq '.findings[] | select(.level == \"fail\")'
  walgate check -c walgate.toml --fix
  walgate check -c walgate.toml --instance

It tells all problems at once: what was seen, why it matters, and the statement or parameter that fixes
it, as this provider takes it. With a configuration it looks at the state folder, the sinks and their
topics, too, and reads up to 1,000 rows of each table for the size of the largest.

Without --fix it changes nothing. With it, it shows the statements that are safe, runs them after a yes,
and checks again: rights and publications. It never restarts a server, never drops
anything, and changes a replica identity only of a table that is named by --fix-replica-identity.

The exit code is 0 when nothing fails (any more), also with warnings, 2 when something does, and 1 when
--instance finds no walgate that runs.";

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
    /// Ask the walgate that runs with this configuration what troubles it, and look at nothing else
    #[arg(long, requires = "config", conflicts_with_all = ["url", "fix", "slot", "publications"])]
    pub instance: bool,
    /// Run the statements that are safe, after a yes
    #[arg(long)]
    pub fix: bool,
    /// Give this table, schema.table, a replica identity where it needs one: its unique index, or the
    /// whole row; may be repeated
    #[arg(long, value_name = "TABLE", requires = "fix")]
    pub fix_replica_identity: Vec<String>,
    /// Say yes to the statements beforehand
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// How long to measure the rate at which log is written
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = super::slots::interval)]
    pub measure: Period,
    /// One JSON object, for machines
    #[arg(long)]
    pub json: bool,
}
