//! `walgate config`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

/// Which configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ConfigFile {
    /// The configuration file [default: walgate.toml]
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        env = "WALGATE_CONFIG"
    )]
    pub path: Option<PathBuf>,
}

impl ConfigFile {
    /// The file that was named, or `walgate.toml` of this folder.
    pub fn path(&self) -> &Path {
        self.path
            .as_deref()
            .unwrap_or_else(|| Path::new("walgate.toml"))
    }
}

/// Arguments of `walgate config`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  walgate config example > walgate.toml\n  \
                        walgate config check -c walgate.toml\n  walgate config explain")]
pub struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a complete example: every key with its meaning and default
    #[command(after_help = "Example:\n  walgate config example > walgate.toml")]
    Example,
    /// Tell everything that is wrong with a file; no server is asked, no slot touched
    #[command(
        after_help = "Example:\n  walgate config check -c walgate.toml && systemctl reload walgate\n\n\
                            The exit code is 0 when the file can be used, and 2 when it can't."
    )]
    Check(ConfigFile),
    /// Print the JSON schema, for editors
    #[command(after_help = "Example:\n  walgate config schema > walgate.schema.json")]
    Schema,
    /// Print every value in effect and where it comes from; secrets stay hidden
    #[command(after_help = "Example:\n  walgate config explain -c walgate.toml | grep -v default")]
    Explain(ConfigFile),
}
