//! `walgate replay`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::{ColumnEquals, ConfigFile, KeyArgs, OnDamage, OutputFormat, RangeArgs, TailArgs};
use crate::config::{Operation, TablePattern};

const EXAMPLES: &str = "\
Examples:
  walgate replay journal                                  look at what the journal holds
  walgate replay recording --format json --table public.orders > orders.ndjson
  walgate replay journal --from 2026-11-21T09:00:00Z --to 2026-11-21T10:00:00Z
  walgate replay recording --speed original               as fast as it happened
  walgate replay recording -c new.toml --sink archive     into a sink of a configuration
  walgate replay journal -c walgate.toml --sink kafka --accept-reorder

No database, no slot and no checkpoint is touched. Ids and bytes are those of the first time.";

/// Arguments of `walgate replay`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct ReplayArgs {
    /// The folder of a journal or a recording
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Into this sink of a configuration (a file, stdout or Kafka), as that says, instead of stdout
    #[arg(long, value_name = "NAME")]
    pub sink: Option<String>,
    /// The configuration of the sink [default: $WALGATE_CONFIG, else walgate.toml]
    #[arg(short = 'c', long = "config", value_name = "FILE", requires = "sink")]
    pub config: Option<PathBuf>,
    /// Into a Kafka sink: what comes again stands behind newer events, with the header
    /// walgate-replay
    #[arg(long, requires = "sink")]
    pub accept_reorder: bool,
    /// How fast: max, original (the pauses between the commits), or a multiple of that, such as 2x
    #[arg(long, value_name = "SPEED", default_value = "max")]
    pub speed: Speed,
    /// What to do where it can't be read
    #[arg(long, value_enum, default_value_t)]
    pub on_damage: OnDamage,
    /// Which part.
    #[command(flatten)]
    pub range: RangeArgs,
    /// Its keys.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// Only these tables: schema.table, with * for any characters; may be repeated
    #[arg(
        long = "table",
        value_name = "PATTERN",
        conflicts_with = "sink",
        help_heading = "Selection"
    )]
    pub tables: Vec<TablePattern>,
    /// Only these operations; may be repeated
    #[arg(
        long = "op",
        value_enum,
        value_name = "OP",
        conflicts_with = "sink",
        help_heading = "Selection"
    )]
    pub ops: Vec<Operation>,
    /// Only rows whose column has this value, before or after the change; may be repeated, and then
    /// all must hold
    #[arg(
        long = "where",
        value_name = "COLUMN=VALUE",
        conflicts_with = "sink",
        help_heading = "Selection"
    )]
    pub filters: Vec<ColumnEquals>,
    /// For machines or for people [default: pretty on a terminal, else json]
    #[arg(long, value_enum, conflicts_with = "sink")]
    pub format: Option<OutputFormat>,
    /// Write a begin and a commit event around the changes of each transaction
    #[arg(long, conflicts_with = "sink")]
    pub transactions: bool,
    /// Write a schema event with the columns of a table before its first row
    #[arg(long, conflicts_with = "sink")]
    pub schema_events: bool,
    /// End after so many changes
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "sink",
        help_heading = "Range"
    )]
    pub count: Option<NonZeroU64>,
}

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it happened.
    Times(f64),
}

/// Beyond a million times nothing is slower than the disk, and below a millionth nothing moves.
const TIMES: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "max" => return Ok(Self::Max),
            "original" => return Ok(Self::Times(1.0)),
            _ => {}
        }
        let times = text.strip_suffix('x').and_then(|text| text.parse().ok());
        times
            .filter(|times: &f64| TIMES.contains(times))
            .map(Self::Times)
            .ok_or_else(|| "expected max, original, or a multiple such as 2x or 0.5x".to_owned())
    }
}

impl ReplayArgs {
    /// What is shown on stdout, as `walgate tail` is told it.
    pub fn as_tail(&self) -> TailArgs {
        TailArgs {
            tables: self.tables.clone(),
            ops: self.ops.clone(),
            filters: self.filters.clone(),
            format: self.format,
            transactions: self.transactions,
            schema_events: self.schema_events,
            count: self.count,
            ..TailArgs::default()
        }
    }

    /// The configuration of the sink.
    pub fn file(&self) -> ConfigFile {
        let path = self.config.clone();
        let path = path.or_else(|| std::env::var_os("WALGATE_CONFIG").map(PathBuf::from));
        ConfigFile { path }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Args, Command};

    use super::*;

    fn parse(words: &str) -> Result<ReplayArgs, clap::Error> {
        let words = ["walgate", "replay"]
            .into_iter()
            .chain(words.split_whitespace());
        Args::try_parse_from(words).map(|args| match args.command {
            Command::Replay(replay) => *replay,
            other => panic!("not replay: {other:?}"),
        })
    }

    #[test]
    fn speeds_are_words_and_multiples() {
        let speed = |text: &str| parse(&format!("x --speed {text}")).map(|args| args.speed);
        assert_eq!(speed("max").expect("valid"), Speed::Max);
        assert_eq!(speed("original").expect("valid"), Speed::Times(1.0));
        assert_eq!(speed("2.5x").expect("valid"), Speed::Times(2.5));
        for text in ["0x", "-1x", "2", "x", "infx", "nanx", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_sink_says_is_not_said_twice() {
        assert!(parse("x --sink a -c b.toml --from 0/1 --to 2026-11-21").is_ok());
        for words in [
            "",
            "x -c b.toml",
            "x --sink a --table a.b",
            "x --sink a --format json",
            "x --sink a --count 1",
            "x --accept-reorder",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
