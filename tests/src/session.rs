//! Servers, databases and sessions to test with.

use anyhow::{Context, Result};
use postgres::{Client, Config, NoTls};
use walgate_throwaway::{PgVersion, shared_postgres};

use crate::{long, step};

/// Only bounds a test that hangs: a checkpoint may wait for a walsender, a new slot for every transaction.
fn longest_statement() -> &'static str {
    if long() {
        "-c statement_timeout=1h"
    } else {
        "-c statement_timeout=5min"
    }
}

/// The versions that a test runs on: all, or those of `WALGATE_TEST_VERSIONS` (`15,18`).
///
/// # Panics
///
/// When the variable names a version that is not supported.
pub fn versions() -> Vec<PgVersion> {
    let Ok(wanted) = std::env::var("WALGATE_TEST_VERSIONS") else {
        return PgVersion::ALL.to_vec();
    };
    let wanted: Vec<_> = wanted
        .split(',')
        .map(|version| version.trim().to_owned())
        .collect();
    let mut known = PgVersion::ALL.to_vec();
    known.retain(|version| wanted.contains(&version.to_string()));
    assert_eq!(
        known.len(),
        wanted.len(),
        "WALGATE_TEST_VERSIONS names versions of 14 to 18"
    );
    known
}

/// A session on `url`.
///
/// # Errors
///
/// When the server can't be reached.
pub fn session(url: &str) -> Result<Client> {
    step(|| format!("a session on {url}"));
    let mut config: Config = url.parse()?;
    if config.get_options().is_none() {
        config.options(longest_statement());
    }
    config
        .connect(NoTls)
        .with_context(|| format!("connect to {url}"))
}

/// A new, empty database on the shared server of that version; returns its URL.
///
/// # Errors
///
/// When the server can't be started or reached.
pub fn database(version: PgVersion, name: &str) -> Result<String> {
    let server = shared_postgres(version)?.url();
    let mut admin = session(&server)?;
    // One statement each: neither runs in a transaction block.
    admin
        .batch_execute(&format!("create database {name}"))
        .context("create database")?;
    let (base, _) = server
        .rsplit_once('/')
        .context("the server's url names a database")?;
    Ok(format!("{base}/{name}"))
}

/// The statements of a script, one by one: a semicolon at the end of a line ends a statement,
/// unless it stands between `$$`.
pub fn statements(script: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut statement = String::new();
    for line in script.lines() {
        statement.push_str(line);
        statement.push('\n');
        let quoted = statement.matches("$$").count() % 2 == 1;
        if line.trim_end().ends_with(';') && !quoted {
            statements.push(std::mem::take(&mut statement));
        }
    }
    if !statement.trim().is_empty() {
        statements.push(statement);
    }
    statements
}

/// Runs a script, each statement by itself, so that each is its own transaction unless the script
/// says otherwise.
///
/// # Errors
///
/// When a statement fails.
pub fn run_script(client: &mut Client, script: &str) -> Result<()> {
    for statement in statements(script) {
        step(|| statement.clone());
        client
            .batch_execute(&statement)
            .with_context(|| format!("run {}", statement.trim()))?;
    }
    Ok(())
}
