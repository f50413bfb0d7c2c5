//! What the figures were measured on.

use std::process::Command;
use std::thread::available_parallelism;

use walgate_throwaway::{Kafka, Postgres};

use crate::peer::Peer;

/// What was measured with: programs and libraries, each with its version.
pub(crate) struct Versions(Vec<String>);

impl Versions {
    /// Walgate and PostgreSQL.
    pub(crate) fn of(server: Option<&Postgres>) -> Self {
        let mut all = vec![format!("Walgate {}", env!("CARGO_PKG_VERSION"))];
        let commit = first_line("git", &["rev-parse", "--short", "HEAD"]);
        all.extend(commit.map(|at| format!("commit {at}")));
        let postgres = server.and_then(|server| server.sql("show server_version").ok());
        let postgres = postgres.and_then(|rows| rows.first()?.first()?.clone());
        all.extend(postgres.map(|version| format!("PostgreSQL {version}")));
        Self(all)
    }

    /// Kafka, and what it runs on.
    pub(crate) fn kafka(mut self, is_there: bool) -> Self {
        if is_there {
            self.0
                .extend(Kafka::version().map(|version| format!("Kafka {version}")));
            self.0.extend(first_line("java", &["--version"]));
        }
        self
    }

    /// What the server behind a trigger with NOTIFY runs on.
    pub(crate) fn node(mut self, is_there: bool) -> Self {
        if is_there {
            let version = first_line("node", &["--version"]);
            self.0
                .extend(version.map(|version| format!("Node {version}")));
        }
        self
    }

    /// What the programs were built with.
    pub(crate) fn compiler(mut self) -> Self {
        self.0.extend(first_line("rustc", &["--version"]));
        self
    }

    /// Programs of others.
    pub(crate) fn peers(mut self, peers: &[Peer]) -> Self {
        for peer in peers {
            let version = peer.version().to_owned();
            if !self.0.contains(&version) {
                self.0.push(version);
            }
        }
        self
    }

    /// All of them.
    pub(crate) fn list(self) -> Vec<String> {
        self.0
    }
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim().to_owned();
    (!line.is_empty()).then_some(line)
}

/// System, cores, processor, memory and load of this machine, as far as it tells.
pub(crate) fn line() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let mut line = format!(
        "{} {}, {cores} cores",
        std::env::consts::OS,
        std::env::consts::ARCH
    );
    let processor = value("/proc/cpuinfo", "model name");
    let memory = value("/proc/meminfo", "MemTotal");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    let load = std::fs::read_to_string("/proc/loadavg").ok();
    let load = load
        .as_ref()
        .and_then(|load| load.split_whitespace().next());
    for (what, value) in [
        ("", processor.as_deref()),
        ("memory ", memory.as_deref()),
        ("kernel ", kernel.as_deref().map(str::trim)),
        ("load at the end ", load),
    ] {
        if let Some(value) = value {
            line += &format!(", {what}{value}");
        }
    }
    line
}

/// The value of the first line with this name, in a file of `name: value` lines.
fn value(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
