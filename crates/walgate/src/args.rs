//! The command line.

mod alerts;
mod check;
mod config;
mod demo;
mod diff;
mod follow;
mod gateway;
mod global;
mod journal;
mod keys;
mod range;
mod record;
mod replay;
mod rewind;
mod run;
mod slots;
mod status;
mod tail;

use clap::{Parser, Subcommand};

pub use alerts::{AlertsArgs, AlertsCommand};
pub use check::CheckArgs;
pub use config::{ConfigArgs, ConfigCommand, ConfigFile};
pub use demo::DemoArgs;
pub use diff::DiffArgs;
pub use follow::{FollowArgs, Since, Transport};
pub use gateway::GatewayArgs;
pub use global::{Color, GlobalArgs};
pub use journal::{ExportArgs, FolderArgs, JournalArgs, JournalCommand, LettersArgs};
pub use keys::KeyArgs;
pub use range::{Bound, OnDamage, RangeArgs};
pub use record::RecordArgs;
pub use replay::{ReplayArgs, Speed};
pub use rewind::{Place, RewindArgs};
pub use run::RunArgs;
pub use slots::{CreateSlotArgs, DropSlotArgs, ServerArgs, SlotsArgs, SlotsCommand, SlotsLookArgs};
pub use status::StatusArgs;
pub use tail::{ColumnEquals, OutputFormat, TailArgs, Until};

/// What the exit codes mean; the one place where they are listed for people.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  a clean end
  1  everything that has no code of its own
  2  the command line, the configuration, or what it names on the server is wrong
  3  a right is missing, or a password is wrong
  4  the slot is lost or changes are missing
  5  somebody else uses the slot
  6  a sink can't go on
  7  a record that can never be delivered, or bytes that make no sense
  8  the state folder can't be used";

const EXAMPLES: &str = "\
Examples:
  walgate tail postgres://app@localhost/shop     look at the changes of a database
  walgate follow ws://127.0.0.1:9465             follow what a Walgate serves
  walgate config example > walgate.toml          start a configuration
  walgate run -c walgate.toml                    forward changes, as a service
  walgate slots                                  what slots hold back, why, and until when
  walgate demo                                   see it work, without a database
  walgate replay journal                         look again at what the journal holds

Data goes to stdout, everything else to stderr.";

/// A gate on PostgreSQL's write-ahead log: every change of a database, in order, to Kafka, a file or
/// standard output.
#[derive(Debug, Parser)]
#[command(
    name = "walgate",
    version = version(),
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
)]
pub struct Args {
    /// What holds for every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Forward changes to the configured sinks, as a service
    Run(RunArgs),
    /// Serve push clients from a topic of Kafka, on any number of machines
    Gateway(GatewayArgs),
    /// Look at the changes of a database now
    Tail(Box<TailArgs>),
    /// Follow the changes that a running Walgate serves, without access to its database
    Follow(Box<FollowArgs>),
    /// Write, check and explain configurations
    Config(ConfigArgs),
    /// Watch changes flow from a throw-away PostgreSQL
    Demo(DemoArgs),
    /// Tell whether a server is ready for Walgate, and everything that is not
    Check(CheckArgs),
    /// Tell what the replication slots of a server hold back, why, and until when
    Slots(Box<SlotsArgs>),
    /// Tell how a running Walgate does, and whether that is good
    Status(StatusArgs),
    /// Try the channels through which people are told
    Alerts(AlertsArgs),
    /// List, check, measure and copy a journal on disk
    Journal(JournalArgs),
    /// Record the changes of a database into a folder, to replay them later
    Record(Box<RecordArgs>),
    /// Replay a journal or a recording, without a database
    Replay(Box<ReplayArgs>),
    /// Give a sink of a running Walgate again what its journal retains
    Rewind(RewindArgs),
    /// Compare what two configurations make of one recording
    Diff(DiffArgs),
    /// Print the completions for a shell
    #[command(
        after_help = "Examples:\n  walgate completions bash > /etc/bash_completion.d/walgate\n  \
                            walgate completions zsh > ~/.zfunc/_walgate"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one page for each command
    #[command(
        after_help = "Examples:\n  walgate man | man -l -\n  walgate man --dir /usr/share/man/man1"
    )]
    Man {
        /// Write the pages into this folder, one for each command
        #[arg(long, value_name = "FOLDER")]
        dir: Option<std::path::PathBuf>,
    },
}

/// The version, with what `git describe` says where the build was told.
fn version() -> &'static str {
    option_env!("WALGATE_VERSION").unwrap_or(env!("CARGO_PKG_VERSION"))
}
