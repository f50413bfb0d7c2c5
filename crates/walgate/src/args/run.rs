//! `walgate run`.

use clap::Args;

use super::{ConfigFile, Until};
use crate::config::{Overrides, Secret};

const EXAMPLES: &str = "\
Examples:
  walgate run                                    read walgate.toml of this folder
  walgate run -c /etc/walgate/walgate.toml
  walgate run --until now                        deliver what there is, confirm it, and end
  walgate run postgres://app@localhost/shop --slot shop --publication shop
                                                 no file: JSON lines on stdout

SIGTERM and Ctrl-C deliver what is in flight and end; a second one ends at once.
SIGHUP reads the file again; what can't change while running is named in the log.";

/// Arguments of `walgate run`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", super::EXIT_CODES))]
pub struct RunArgs {
    /// The database, instead of the file's `source.url`; without -c no file is read, and changes go
    /// to stdout as JSON lines
    #[arg(value_name = "URL")]
    pub url: Option<Secret>,
    /// Which file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Deliver everything committed up to this LSN, or up to now, and end: a drain
    #[arg(long, value_name = "LSN|now")]
    pub until: Option<Until>,
    /// The replication slot, instead of the file's `source.slot`
    #[arg(long, value_name = "NAME")]
    pub slot: Option<String>,
    /// A publication, instead of the file's `source.publications`; may be repeated
    #[arg(long = "publication", value_name = "NAME")]
    pub publications: Vec<String>,
}

impl RunArgs {
    /// Whether no file is read: a URL is given, and no file.
    pub const fn without_file(&self) -> bool {
        self.url.is_some() && self.file.path.is_none()
    }

    /// What is said instead of the file.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            url: self.url.clone(),
            slot: self.slot.clone(),
            publications: self.publications.clone(),
            to_stdout: self.without_file(),
        }
    }
}
