//! What `deploy/` ships is sound, as far as its own validators go: alert rules fire when they should and only
//! then, every metric and every command that is named exists, examples are accepted.

mod alerts;
mod dashboard;
mod examples;
mod heartbeat;
mod prometheus;
mod runbooks;
mod systemd;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use regex::Regex;

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the tests lie in the repository")
        .into()
}

fn deploy(file: &str) -> PathBuf {
    repository().join("deploy").join(file)
}

fn read(file: &str) -> Result<String> {
    let path = deploy(file);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The files of a folder of `deploy/` with this ending, in order.
fn files(folder: &str, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(deploy(folder))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "no file {folder}/*{ending}");
    Ok(found)
}

/// A validator: on the path, or where `deploy/setup.sh` has unpacked it.
fn tool(name: &str) -> Result<Command> {
    let unpacked = repository().join("target/tools/usr/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([unpacked])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .map(Command::new)
        .with_context(|| format!("{name} is not installed: run deploy/setup.sh deploy"))
}

/// Runs a validator to its end: all of what it says, when it is content.
fn content(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(said)
}

/// The first group of `pattern`, wherever it occurs in `text`.
fn named(pattern: &str, text: &str) -> Result<BTreeSet<String>> {
    let pattern = Regex::new(pattern)?;
    let found = pattern.captures_iter(text);
    Ok(found.map(|found| found[1].to_owned()).collect())
}

/// The metrics that are named in an expression of PromQL or a text.
fn metrics_in(text: &str) -> Result<BTreeSet<String>> {
    named(r"\b((?:walgate|process)_[a-z_]+[a-z])\b", text)
}
