//! `walgate diff`.

use std::path::PathBuf;

use clap::Args;

use super::{KeyArgs, OnDamage, RangeArgs};

const EXAMPLES: &str = "\
Examples:
  walgate diff recording -c walgate.toml -c new.toml
  walgate diff journal -c walgate.toml -c new.toml --sink kafka --examples 1
  walgate diff recording -c walgate.toml -c new.toml --json | jq .sinks[].tables

What the sinks of both would be given of one recording is compared: events, their bytes and their
keys. No sink is opened. Topics and connections are not compared. The exit code is 0 whether
anything differs or not.";

/// Arguments of `walgate diff`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct DiffArgs {
    /// The folder of a journal or a recording
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The old configuration, and then the new one
    #[arg(short = 'c', long = "config", value_name = "FILE", required = true)]
    pub configs: Vec<PathBuf>,
    /// Only this sink [default: all]
    #[arg(long, value_name = "NAME")]
    pub sink: Option<String>,
    /// Which part.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Its keys.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// What to do where it can't be read
    #[arg(long, value_enum, default_value_t)]
    pub on_damage: OnDamage,
    /// So many examples of each kind for each table
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub examples: usize,
    /// One JSON object, for machines
    #[arg(long)]
    pub json: bool,
}
