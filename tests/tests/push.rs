//! Push on real servers: clients over WebSocket and Server-Sent Events.

#[path = "push/access.rs"]
mod access;
#[path = "push/certificates.rs"]
mod certificates;
#[path = "push/client.rs"]
pub(crate) mod client;
#[path = "push/contract.rs"]
mod contract;
#[path = "push/filters.rs"]
mod filters;
#[path = "push/jwt.rs"]
mod jwt;
#[path = "push/prepared.rs"]
mod prepared;
#[path = "push/resume.rs"]
mod resume;
#[path = "push/rights.rs"]
mod rights;
#[path = "push/snapshot.rs"]
mod snapshot;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use regex::Regex;
use walgate_tests::{Bed, Program};

/// A push server on a port of its own.
pub(crate) fn websocket(lines: &str) -> String {
    format!(
        "[sinks.push]\ntype = \"websocket\"\nlisten = \"127.0.0.1:0\"\nping = \"1s\"\n{lines}\n"
    )
}

/// Where a program takes clients.
pub(crate) fn address(program: &mut Program) -> Result<String> {
    program.wait_for_log("clients can connect")?;
    let log = program.stderr();
    let pattern = Regex::new(r"listening for WebSocket.*address=(\S+)")?;
    let found = pattern.captures(&log).context("an address in the log")?;
    Ok(found[1].trim_end_matches(',').to_owned())
}

/// Starts the service, and tells where it takes clients.
pub(crate) fn serve(bed: &Bed) -> Result<(Program, SocketAddr)> {
    let mut program = bed.serve()?;
    let at = address(&mut program)?.parse()?;
    Ok((program, at))
}
