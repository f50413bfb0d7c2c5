//! `walgate journal`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigFile, KeyArgs, OnDamage, RangeArgs};

const EXAMPLES: &str = "\
Examples:
  walgate journal ls /var/lib/walgate/journal
  walgate journal stat -c walgate.toml           what it holds, and how long an outage it carries
  walgate journal verify && echo sound           the journal of walgate.toml
  walgate journal export journal incident --from 2026-11-21T09:00:00Z --to 2026-11-21T10:00:00Z

They read, and change nothing: also beside a Walgate that runs on the folder, and of recordings.";

/// Arguments of `walgate journal`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct JournalArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: JournalCommand,
}

/// What to do with a journal on disk.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List the segments: positions, times, bytes, state
    #[command(
        after_help = "Examples:\n  walgate journal ls\n  walgate journal ls recording --json"
    )]
    Ls(FolderArgs),
    /// Check every byte, and name all damage
    #[command(after_help = "Example:\n  walgate journal verify -c walgate.toml\n\n\
                            The exit code is 0 when it is sound, and 7 when something is damaged or \
                            missing. A torn tail\nis no damage: a Walgate that runs is about to \
                            write it, or the next start cuts it.")]
    Verify(FolderArgs),
    /// Tell what it holds: changes by table, rate, and how long an outage it can carry
    #[command(after_help = "Example:\n  walgate journal stat -c walgate.toml")]
    Stat(FolderArgs),
    /// Copy a part into a recording: a folder that can be replayed anywhere
    #[command(
        after_help = "Examples:\n  walgate journal export journal recording\n  \
                            walgate journal export journal incident --from 0/14A2F60 --to 2026-11-21T10:00:00Z\n\n\
                            A recording holds whole transactions: those that the range touches."
    )]
    Export(ExportArgs),
    /// Print a file of dead letters, also one that is encrypted
    #[command(
        after_help = "Example:\n  walgate journal letters dead.ndjson --key-file journal.keys | jq .error"
    )]
    Letters(LettersArgs),
}

/// Which journal, and for whom the output is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct FolderArgs {
    /// The folder of a journal or a recording [default: the configuration's `journal.path`]
    #[arg(value_name = "PATH")]
    pub folder: Option<PathBuf>,
    /// Which file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Its keys.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// One JSON object, for machines
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `walgate journal letters`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct LettersArgs {
    /// The file of a sink's `dead_letter.file`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Its keys.
    #[command(flatten)]
    pub keys: KeyArgs,
}

/// Arguments of `walgate journal export`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ExportArgs {
    /// The folder of a journal or a recording
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// The folder to make
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// Which part.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Its keys; the copy is encrypted with the newest.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// What to do where it can't be read
    #[arg(long, value_enum, default_value_t)]
    pub on_damage: OnDamage,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::args::Args;

    #[test]
    fn every_command_is_consistent() {
        Args::command().debug_assert();
    }
}
