//! `walgate follow`: a terminal on a push server.

#[path = "follow/endings.rs"]
mod endings;
#[path = "follow/resume.rs"]
mod resume;
#[path = "follow/snapshot.rs"]
mod snapshot;
#[path = "follow/tokens.rs"]
mod tokens;
#[path = "follow/transport.rs"]
mod transport;

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Bed, Program, journal_on_disk};
use walgate_throwaway::PgVersion;

use crate::push::{serve, websocket};

const TABLE: &str = "create table t (id int primary key, v text); \
                     create publication walgate for table t;";

/// A database with a push server that replays.
fn bed(version: PgVersion, name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(version, name, TABLE)?;
    bed.more = journal_on_disk("");
    bed.sinks = websocket("delivery = \"resumable\"");
    bed.begin()?;
    Ok(bed)
}

/// Starts a follower of the table.
fn follow(at: SocketAddr, args: &[&str]) -> Result<Program> {
    follow_with(at, args, &[])
}

/// As [`follow`], with an environment.
fn follow_with(at: SocketAddr, args: &[&str], environment: &[(&str, &str)]) -> Result<Program> {
    let url = format!("ws://{at}");
    let own = ["follow", &url, "--table", "public.t"];
    let proxies = [("NO_PROXY", "127.0.0.1"), ("WALGATE_TOKEN", "")];
    let environment: Vec<_> = proxies.iter().chain(environment).copied().collect();
    Program::start_with(own.iter().chain(args), &environment)
}

/// The row that the next line is about.
fn row(follower: &mut Program) -> Result<i64> {
    let line = follower.line()?;
    let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
    event["key"]["id"].as_i64().context(line)
}

/// The rows that the next lines are about are these.
fn expect(follower: &mut Program, rows: std::ops::RangeInclusive<i64>) -> Result<()> {
    for expected in rows {
        let found = row(follower)?;
        ensure!(
            found == expected,
            "{found} instead of {expected}: {}",
            follower.stderr()
        );
    }
    Ok(())
}

/// Inserts these rows.
fn insert(bed: &Bed, rows: &std::ops::RangeInclusive<i64>) -> Result<()> {
    bed.sql(&format!(
        "insert into t select g, 'x' from generate_series({}, {}) g",
        rows.start(),
        rows.end()
    ))
}
