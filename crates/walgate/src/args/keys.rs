//! The keys of an encrypted journal.

use std::path::PathBuf;

use clap::Args;

/// Which keys open a folder that is encrypted, or encrypt one that is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct KeyArgs {
    /// The keys of a folder that is encrypted, one on each line, as in journal.encryption_key_file;
    /// what is made is encrypted with the last of them
    #[arg(long, value_name = "FILE", env = "WALGATE_JOURNAL_KEY_FILE")]
    pub key_file: Option<PathBuf>,
}
