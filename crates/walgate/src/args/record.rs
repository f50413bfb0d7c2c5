//! `walgate record`.

use std::path::PathBuf;

use clap::Args;

use super::{TailArgs, Until};
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
    allow_missing_positional = true,
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES),
)]
pub struct RecordArgs {
    /// The database: a URL or key=value pairs, as libpq takes them
    #[arg(value_name = "URL")]
    pub url: Option<Secret>,
    /// The folder to make
    #[arg(value_name = "OUT", required = true)]
    pub out: PathBuf,
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
}

impl RecordArgs {
    /// The same as `walgate tail` is told it.
    pub fn as_tail(&self) -> TailArgs {
        TailArgs {
            url: self.url.clone(),
            slot: self.slot.clone(),
            publications: self.publications.clone(),
            tables: self.tables.clone(),
            until: self.until,
            peek: self.peek,
            ..TailArgs::default()
        }
    }
}
