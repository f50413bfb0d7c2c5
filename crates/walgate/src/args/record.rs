//! `walgate record`.

use std::path::PathBuf;

use clap::Args;
use walgate_core::{Failure, StopReason};

use super::{KeyArgs, TailArgs, Until};
use crate::config::{Secret, SlotName, TablePattern};

const EXAMPLES: &str = "\
Examples:
  walgate record postgres://app@localhost/shop recording          until Ctrl-C
  walgate record postgres://app@localhost/shop recording --table public.orders
  walgate record --slot shop --publication shop --until now recording
  walgate replay recording

Without a URL the PG* environment variables tell where the database is.
Without --slot changes come from now on, through a temporary slot. Without --publication a
publication of its own is made for the time of the command.";

/// Arguments of `walgate record`.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "walgate record [OPTIONS] [URL] <OUT>",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES),
)]
pub struct RecordArgs {
    /// The database (a URL or key=value pairs, as libpq takes them), and the folder to make
    // Both in one: clap takes no optional argument before a required one with options in between.
    #[arg(value_name = "[URL] OUT", required = true)]
    pub places: Vec<Secret>,
    /// Read from this replication slot, and confirm what is safe on disk
    #[arg(long, value_name = "NAME")]
    pub slot: Option<SlotName>,
    /// Read this publication; may be repeated
    #[arg(long = "publication", value_name = "NAME", value_parser = super::tail::publication)]
    pub publications: Vec<String>,
    /// Only these tables: schema.table, with * for any characters; may be repeated
    #[arg(
        long = "table",
        visible_alias = "tables",
        value_name = "PATTERN",
        conflicts_with = "publications",
        help_heading = "Selection"
    )]
    pub tables: Vec<TablePattern>,
    /// Record everything committed up to this LSN, or up to now, and end
    #[arg(long, value_name = "LSN|now", help_heading = "Range")]
    pub until: Option<Until>,
    /// Confirm nothing: the slot stays where it is
    #[arg(long, requires = "slot", help_heading = "Range")]
    pub peek: bool,
    /// With keys the recording is encrypted with the newest.
    #[command(flatten)]
    pub keys: KeyArgs,
}

impl RecordArgs {
    /// The folder to make.
    ///
    /// # Errors
    ///
    /// When more was said than a database and a folder.
    pub fn out(&self) -> Result<PathBuf, Failure> {
        match self.places.as_slice() {
            [out] | [_, out] => Ok(PathBuf::from(out.expose())),
            _ => Err(Failure::new(
                StopReason::Config,
                "one database is recorded into one folder",
            )
            .hint("walgate record [OPTIONS] [URL] <OUT>")),
        }
    }

    /// The same as `walgate tail` is told it.
    pub fn as_tail(&self) -> TailArgs {
        TailArgs {
            url: self
                .places
                .first()
                .filter(|_| self.places.len() > 1)
                .cloned(),
            slot: self.slot.clone(),
            publications: self.publications.clone(),
            tables: self.tables.clone(),
            until: self.until,
            peek: self.peek,
            ..TailArgs::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::args::{Args, Command};

    use super::*;

    fn parse(words: &str) -> Result<RecordArgs, clap::Error> {
        let words = ["walgate", "record"]
            .into_iter()
            .chain(words.split_whitespace());
        Args::try_parse_from(words).map(|args| match args.command {
            Command::Record(record) => *record,
            other => panic!("not record: {other:?}"),
        })
    }

    #[test]
    fn the_url_may_be_left_out_wherever_options_stand() {
        for (words, url) in [
            ("out", None),
            ("--until now out", None),
            ("postgres://h/d out", Some("postgres://h/d")),
            ("postgres://h/d --until now out", Some("postgres://h/d")),
            (
                "--slot s postgres://h/d --peek out --until now",
                Some("postgres://h/d"),
            ),
        ] {
            let args = parse(words).expect(words);
            assert_eq!(args.out().expect(words), PathBuf::from("out"));
            let tail = args.as_tail();
            assert_eq!(tail.url.as_ref().map(Secret::expose), url, "{words}");
        }
        assert!(parse("").is_err() && parse("out --peek").is_err());
        assert!(parse("a b c").is_ok_and(|args| args.out().is_err()));
    }
}
