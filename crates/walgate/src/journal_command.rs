//! `walgate journal`.

mod export;
mod letters;
mod ls;
mod stat;
mod verify;

use std::path::PathBuf;

use serde::Serialize;
use walgate_core::{Failure, StopReason};
use walgate_journal::log::LogOptions;
use walgate_journal::segment::Keyring;

use crate::args::{FolderArgs, JournalCommand};
use crate::config::{Config, Overrides, Surroundings, load};
use crate::ending::Ending;
use crate::wiring::{Recording, configured_keys};

/// What a command has found.
#[derive(Debug)]
pub struct Said {
    /// For stdout.
    pub text: String,
    /// How it ends, when what it has found is no good.
    pub failure: Option<Failure>,
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self {
            text,
            failure: None,
        }
    }
}

/// Runs a command of `walgate journal`.
///
/// # Errors
///
/// When the folder can't be read, or a copy not be written.
pub fn journal_command(command: &JournalCommand) -> Result<Said, Ending> {
    match command {
        JournalCommand::Ls(args) => {
            ls::ls(&Folder::of(args, KeyNeed::None)?, args.json).map(Said::from)
        }
        JournalCommand::Verify(args) => {
            verify::verify(&Folder::of(args, KeyNeed::Wanted)?, args.json)
        }
        JournalCommand::Stat(args) => {
            stat::stat(&Folder::of(args, KeyNeed::All)?, args.json).map(Said::from)
        }
        JournalCommand::Export(args) => export::export(args).map(Said::from),
        JournalCommand::Letters(args) => letters::letters(args).map(Said::from),
    }
}

/// A journal, and what is configured of it.
#[derive(Debug)]
struct Folder {
    recording: Recording,
    options: LogOptions,
}

/// What a command does with keys that are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyNeed {
    /// Nothing.
    None,
    /// It sees more with them.
    Wanted,
    /// It can't do without.
    All,
}

impl Folder {
    fn of(args: &FolderArgs, need: KeyNeed) -> Result<Self, Ending> {
        let (path, options, keys) = match &args.folder {
            Some(path) => (path.clone(), LogOptions::default(), args.keys.load()?),
            None => configured(args, need)?,
        };
        let recording = Recording::open(&path, keys)?;
        Ok(Self { recording, options })
    }
}

fn configured(args: &FolderArgs, need: KeyNeed) -> Result<(PathBuf, LogOptions, Keyring), Ending> {
    let file = args.file.path();
    let loaded = load(
        Some(file),
        &Overrides::default(),
        &Surroundings::of_process(),
    )?;
    let Config { journal, .. } = loaded.config;
    let keys = match (&args.keys.key_file, need) {
        (Some(_), _) => args.keys.load()?,
        (None, KeyNeed::None) => Keyring::default(),
        (None, KeyNeed::Wanted) => configured_keys(&journal).unwrap_or_else(|failure| {
            tracing::warn!("going on without keys: {failure}");
            Keyring::default()
        }),
        (None, KeyNeed::All) => configured_keys(&journal)?,
    };
    let Some(path) = journal.path else {
        let message = format!(
            "{} has no journal on disk: [journal] path is not set",
            file.display()
        );
        let failure = Failure::new(StopReason::Config, message);
        return Err(failure
            .hint("name a folder: walgate journal ls PATH")
            .into());
    };
    let options = LogOptions {
        budget_bytes: journal.budget.map(|budget| budget.0),
        ..LogOptions::default()
    };
    Ok((path, options, keys))
}

/// One JSON object on one line.
fn json(value: &impl Serialize) -> Result<String, Ending> {
    let text = serde_json::to_string(value)
        .map_err(|error| Ending::other(format!("what was found is no JSON: {error}")))?;
    Ok(text + "\n")
}

/// Lines in columns: the first is the heading; columns of numbers are flush right.
pub(crate) fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or_default();
            if column > 0 {
                line.push_str("  ");
            }
            if right.contains(&column) {
                line.push_str(&format!("{cell:>width$}"));
            } else {
                line.push_str(&format!("{cell:<width$}"));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["A", "N"], ["one", "5"], ["é", "10"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows, &[1]), "A     N\none   5\né    10\n");
    }
}
