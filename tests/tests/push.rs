//! Push on real servers: clients over WebSocket and Server-Sent Events.

#[path = "push/client.rs"]
mod client;
#[path = "push/filters.rs"]
mod filters;
#[path = "push/resume.rs"]
mod resume;
#[path = "push/rights.rs"]
mod rights;

use anyhow::{Context, Result};
use regex::Regex;
use walgate_tests::Program;

/// A push server on a port of its own.
fn websocket(lines: &str) -> String {
    format!(
        "[sinks.push]\ntype = \"websocket\"\nlisten = \"127.0.0.1:0\"\nping = \"1s\"\n{lines}\n"
    )
}

/// Where a program takes clients.
fn address(program: &mut Program) -> Result<String> {
    program.wait_for_log("clients can connect")?;
    let log = program.stderr();
    let pattern = Regex::new(r"listening for WebSocket.*address=(\S+)")?;
    let found = pattern.captures(&log).context("an address in the log")?;
    Ok(found[1].trim_end_matches(',').to_owned())
}
