//! `walgate tail`.

use std::num::NonZeroU64;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use walgate_core::{Lsn, Position};

use crate::config::{Operation, Secret, SlotName, TablePattern};

const EXAMPLES: &str = "\
Examples:
  walgate tail postgres://app@localhost/shop
  walgate tail --table public.orders --op insert --op update --where status=paid
  walgate tail --format json --count 100 > changes.ndjson
  walgate tail --slot shop --publication shop --until now     drain the slot and confirm it
  walgate tail --slot shop --publication shop --peek          look, and confirm nothing

Without a URL the PG* environment variables tell where the database is.
Without --slot changes come from now on, through a temporary slot. Without --publication a
publication of its own is made for the time of the command.";

/// Arguments of `walgate tail`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct TailArgs {
    /// The database: a URL or key=value pairs, as libpq takes them
    #[arg(value_name = "URL")]
    pub url: Option<Secret>,
    /// Read from this replication slot, and confirm what was written
    #[arg(long, value_name = "NAME")]
    pub slot: Option<SlotName>,
    /// Read this publication; may be repeated
    #[arg(long = "publication", value_name = "NAME", value_parser = publication)]
    pub publications: Vec<String>,
    /// Only these tables: schema.table, with * for any characters; may be repeated
    #[arg(long = "table", value_name = "PATTERN", help_heading = "Selection")]
    pub tables: Vec<TablePattern>,
    /// Only these operations; may be repeated
    #[arg(long = "op", value_enum, value_name = "OP", help_heading = "Selection")]
    pub ops: Vec<Operation>,
    /// Only rows whose column has this value, before or after the change; may be repeated, and then
    /// all must hold
    #[arg(
        long = "where",
        value_name = "COLUMN=VALUE",
        help_heading = "Selection"
    )]
    pub filters: Vec<ColumnEquals>,
    /// For machines or for people [default: pretty on a terminal, else json]
    #[arg(long, value_enum)]
    pub format: Option<OutputFormat>,
    /// Write a begin and a commit event around the changes of each transaction
    #[arg(long)]
    pub transactions: bool,
    /// Write a schema event with the columns of a table before its first row
    #[arg(long)]
    pub schema_events: bool,
    /// Start behind this position (an LSN or an event id); below what the slot has confirmed it is
    /// refused, above it needs --peek
    #[arg(
        long,
        value_name = "POSITION",
        requires = "slot",
        help_heading = "Range"
    )]
    pub from: Option<Position>,
    /// Write everything committed up to this LSN, or up to now, and end
    #[arg(long, value_name = "LSN|now", help_heading = "Range")]
    pub until: Option<Until>,
    /// End after so many changes
    #[arg(long, value_name = "N", help_heading = "Range")]
    pub count: Option<NonZeroU64>,
    /// Confirm nothing: the slot stays where it is
    #[arg(long, requires = "slot", help_heading = "Range")]
    pub peek: bool,
}

/// `column=value` of `--where`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEquals {
    /// The column, as PostgreSQL names it.
    pub column: String,
    /// PostgreSQL's text of the value; may be empty.
    pub value: String,
}

/// Where to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The end of the log as the command starts.
    Now,
    /// A position of the log.
    Lsn(Lsn),
}

/// For whom the output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// One JSON object a line
    Json,
    /// One readable line a change
    Pretty,
}

impl TailArgs {
    /// Every change of a database from now on.
    pub fn everything(url: Secret) -> Self {
        Self {
            url: Some(url),
            ..Self::default()
        }
    }

    /// The format: the one that was asked for, else by where it goes.
    pub fn output_format(&self, stdout_is_terminal: bool) -> OutputFormat {
        let natural = if stdout_is_terminal {
            OutputFormat::Pretty
        } else {
            OutputFormat::Json
        };
        self.format.unwrap_or(natural)
    }
}

impl FromStr for ColumnEquals {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((column, value)) if !column.is_empty() => Ok(Self {
                column: column.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected column=value, such as status=paid".to_owned()),
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" {
            return Ok(Self::Now);
        }
        text.parse()
            .map(Self::Lsn)
            .map_err(|_| "expected an LSN such as 0/14A2F60, or now".to_owned())
    }
}

pub(super) fn publication(name: &str) -> Result<String, String> {
    // PostgreSQL cuts a longer name silently, and then finds another publication or none.
    match name.len() {
        0 => Err("a publication has a name".to_owned()),
        1..=63 => Ok(name.to_owned()),
        _ => Err("a publication's name has at most 63 bytes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Args, Command};

    use super::*;

    fn parse(words: &str) -> Result<TailArgs, clap::Error> {
        let words = ["walgate", "tail"]
            .into_iter()
            .chain(words.split_whitespace());
        Args::try_parse_from(words).map(|args| match args.command {
            Command::Tail(tail) => *tail,
            other => panic!("not tail: {other:?}"),
        })
    }

    #[test]
    fn reads_everything_at_once() {
        let args = parse(
            "postgres://h/d --slot s --publication a --publication b,c --table public.* --op insert \
             --op delete --where status=a=b --where empty= --format json --from 0/10 --until 0/20 --peek \
             --transactions --schema-events --count 5",
        )
        .expect("valid");
        assert_eq!(
            args.url.as_ref().map(Secret::expose),
            Some("postgres://h/d")
        );
        assert_eq!(args.publications, ["a", "b,c"]);
        assert_eq!(args.ops, [Operation::Insert, Operation::Delete]);
        assert_eq!(
            args.filters[0],
            ColumnEquals {
                column: "status".into(),
                value: "a=b".into()
            }
        );
        assert_eq!(
            args.filters[1],
            ColumnEquals {
                column: "empty".into(),
                value: String::new()
            }
        );
        assert_eq!(args.from, Some(Position::committed(0, Lsn(0x10))));
        assert_eq!(args.until, Some(Until::Lsn(Lsn(0x20))));
        assert_eq!(args.count.map(NonZeroU64::get), Some(5));
        assert!(args.peek && args.transactions && args.schema_events);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for words in [
            "--from 0/10",
            "--peek",
            "--slot Big",
            "--count 0",
            "--count -1",
            "--until yesterday",
            "--until 0/",
            "--slot s --from x",
            "--table orders",
            "--op upsert",
            "--where status",
            "--where =x",
            "--format yaml",
            "-v -q",
            "a b",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn the_format_follows_the_terminal() {
        let args = parse("").expect("valid");
        assert_eq!(args.output_format(true), OutputFormat::Pretty);
        assert_eq!(args.output_format(false), OutputFormat::Json);
        let args = parse("--format json").expect("valid");
        assert_eq!(args.output_format(true), OutputFormat::Json);
    }
}
