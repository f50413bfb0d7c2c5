//! `walgate slots`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Period, Secret, Size, SlotName};

const EXAMPLES: &str = "\
Examples:
  walgate slots postgres://app@localhost/shop
  walgate slots -c walgate.toml                  marks the slot of the configuration
  walgate slots --watch                          again every 5 seconds, with a line of the past
  walgate slots --budget 50GiB --json | jq '.slots[] | select(.danger != \"none\")'
  walgate slots drop old_connector               shows what is lost, and asks

It reads, changes nothing and waits on no lock; any role that may connect can run it. With
pg_monitor it also sees who other sessions are, and since when.";

/// Arguments of `walgate slots`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES),
)]
pub struct SlotsArgs {
    /// Something else than looking.
    #[command(subcommand)]
    pub command: Option<SlotsCommand>,
    /// How to look.
    #[command(flatten)]
    pub look: SlotsLookArgs,
}

/// What to do with slots.
#[derive(Debug, Subcommand)]
pub enum SlotsCommand {
    /// Create a logical slot for Walgate
    #[command(
        after_help = "Examples:\n  walgate slots create shop postgres://app@localhost/shop\n  \
                            walgate slots create shop -c walgate.toml --failover\n\n\
                            Create publications first: a slot never sees one that is younger than itself.\n\
                            From its creation on a slot keeps the log until it is read, or dropped."
    )]
    Create(CreateSlotArgs),
    /// Drop a slot that nobody uses: shows what is lost, and asks
    #[command(
        after_help = "Examples:\n  walgate slots drop old_connector postgres://app@localhost/shop\n  \
                            walgate slots drop old_connector --yes\n\n\
                            A slot in use is never dropped (exit code 5), nor one that has moved since it was shown."
    )]
    Drop(DropSlotArgs),
}

/// Which server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServerArgs {
    /// The server: a URL or key=value pairs, as libpq takes them [default: the configuration's, else
    /// the PG* environment variables]
    #[arg(value_name = "URL")]
    pub url: Option<Secret>,
    /// The configuration whose server and slot are meant; none is read unless it is named
    #[arg(short = 'c', long, value_name = "FILE", env = "WALGATE_CONFIG")]
    pub config: Option<PathBuf>,
}

/// How to look at slots.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SlotsLookArgs {
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Look again and again, and draw anew, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// The time between two looks of --watch
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        requires = "watch",
        value_parser = interval
    )]
    pub interval: Period,
    /// How long to measure rates before the first answer
    #[arg(long = "for", value_name = "TIME", default_value = "2s", value_parser = interval)]
    pub measure: Period,
    /// The most log that a slot may hold back: a limit beside those that the server has
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<Size>,
    /// Show no statements of other sessions: they may hold data
    #[arg(long)]
    pub hide_queries: bool,
    /// One JSON object on a line for each look, for machines
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `walgate slots create`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CreateSlotArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: SlotName,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Let it follow to standbys (PostgreSQL 17 and later)
    #[arg(long)]
    pub failover: bool,
}

/// Arguments of `walgate slots drop`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DropSlotArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: SlotName,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Half a second to an hour: less would look more often than statistics are written, and more is no
/// watching.
pub(super) fn interval(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error| format!("{error}"))?;
    let (least, most) = (Period::milliseconds(500), Period::seconds(3600));
    if (least..=most).contains(&period) {
        Ok(period)
    } else {
        Err(format!("must be {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn parse(words: &str) -> Option<SlotsArgs> {
        let words = format!("walgate slots {words}");
        match Args::try_parse_from(words.split_whitespace()).ok()?.command {
            Command::Slots(args) => Some(*args),
            _ => None,
        }
    }

    #[test]
    fn looks_at_a_url_or_manages_a_name() {
        let look = parse("postgres://h/d --watch --interval 1s --budget 5GiB").expect("valid");
        assert!(look.command.is_none() && look.look.watch);
        assert_eq!(look.look.budget, Some(Size::mib(5 << 10)));
        assert_eq!(
            look.look.server.url.as_ref().map(Secret::expose),
            Some("postgres://h/d")
        );
        let drop = parse("drop old postgres://h/d --yes").expect("valid");
        let Some(SlotsCommand::Drop(drop)) = drop.command else {
            panic!("{drop:?}");
        };
        assert!(drop.yes && drop.name.as_str() == "old" && drop.server.url.is_some());
        let create = parse("create new --failover").expect("valid");
        assert!(matches!(create.command, Some(SlotsCommand::Create(_))));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for words in [
            "--interval 1s",
            "--watch --interval 1ms",
            "--watch --interval 2d",
            "--budget 5",
            "drop",
            "drop Big",
            "--json drop old",
        ] {
            assert!(parse(words).is_none(), "{words}");
        }
    }
}
