//! Decoding and encoding alone, in instructions a row: the same on every run, which times are not.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::machine::Versions;
use crate::{machine, results};

/// What counts them.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.sh");

/// All counts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Instructions {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs with their versions.
    pub(crate) versions: Vec<String>,
    /// In the order of the runs.
    counts: Vec<Count>,
}

/// A row of one kind.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Count {
    /// The benchmark's function that was counted in.
    function: String,
    /// Which row.
    row: String,
    instructions: u64,
}

impl Instructions {
    /// A table of all of them.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("| | a row | instructions |\n|---|---|---|\n");
        for Count {
            function,
            row,
            instructions,
        } in &self.counts
        {
            text += &format!("| {function} | {row} | {instructions} |\n");
        }
        text
    }
}

/// Whether what it needs is installed.
pub(crate) fn is_possible() -> bool {
    let valgrind = Command::new("valgrind").arg("--version").output();
    valgrind.is_ok_and(|ended| ended.status.success())
}

/// Counts, and stores the counts.
pub(crate) fn run(out: &Path) -> Result<()> {
    let counted = Command::new(SCRIPT)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {SCRIPT}"))?;
    ensure!(
        counted.status.success(),
        "{SCRIPT} ended with {}",
        counted.status
    );
    let counts = counts(&String::from_utf8_lossy(&counted.stdout));
    ensure!(!counts.is_empty(), "{SCRIPT} has counted nothing");
    let all = Instructions {
        machine: machine::line(),
        versions: Versions::of(None).compiler().list(),
        counts,
    };
    results::write(out, &all)
}

/// The rows of the script's table.
fn counts(table: &str) -> Vec<Count> {
    let count = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        Some(Count {
            function: cells.next()?.to_owned(),
            row: cells.next()?.to_owned(),
            instructions: cells.next()?.parse().ok()?,
        })
    };
    table.lines().filter_map(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_prints_is_what_the_page_shows() {
        let table = "| | a row | instructions |\n|---|---|---|\n\
                     | decode_rows | insert | 874 |\n| encode_rows | update_full | 6674 |\n";
        let all = Instructions {
            machine: String::new(),
            versions: Vec::new(),
            counts: counts(table),
        };
        assert_eq!(all.counts.len(), 2);
        assert_eq!(all.markdown(), table);
    }
}
