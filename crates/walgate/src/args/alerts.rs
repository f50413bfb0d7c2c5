//! `walgate alerts`.

use clap::{Args, Subcommand};

use super::ConfigFile;

/// Arguments of `walgate alerts`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  walgate alerts test -c walgate.toml")]
pub struct AlertsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AlertsCommand,
}

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Send one message through each configured channel, and tell what became of it
    #[command(after_help = "Example:\n  walgate alerts test -c walgate.toml\n\n\
                      The exit code is 0 when each channel has taken it, and 1 when one has not, or \
                      there is none but the log.")]
    Test(ConfigFile),
}
