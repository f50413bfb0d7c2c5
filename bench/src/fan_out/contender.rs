//! The servers that are compared.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::EXPERIMENTS;
use super::rows::Rows;
use crate::{contender, measure, sources};

/// Only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that gives rows to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// `walgate run` with a sink of type websocket.
    Walgate,
    /// A trigger with NOTIFY, and a server in Node.
    Notify,
}

/// A server that runs.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
    _folder: TempDir,
}

impl Contender {
    /// The name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Walgate => "walgate",
            Self::Notify => "NOTIFY",
        }
    }

    /// The table that it tells of.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Walgate => "moves",
            Self::Notify => "notified",
        }
    }

    /// Rows of a backlog that is measured in seconds and fits into the queues: of Walgate's for each
    /// client, and of a Node that keeps a copy for each.
    pub(crate) fn burst(self, deliveries: usize, readers: usize) -> usize {
        let (deliveries, most) = match self {
            Self::Walgate => (deliveries, 40_000),
            Self::Notify => (deliveries / 10, 10_000),
        };
        super::to_tens((deliveries / readers.max(1)).min(most).max(EXPERIMENTS))
    }

    /// Starts it.
    pub(crate) fn start(self, rows: &Rows<'_>) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut command = match self {
            Self::Walgate => {
                push_server(&rows.url(), "bench", &address, rows.state(), folder.path())?
            }
            Self::Notify => notify_server(&rows.url(), port)?,
        };
        let child = command.stdin(Stdio::null()).spawn();
        let child = child.with_context(|| format!("start {command:?}"))?;
        Ok(Running {
            child,
            address,
            _folder: folder,
        })
    }
}

/// `walgate run` with a sink for clients. Queues and memory are those of the defaults.
pub(crate) fn push_server(
    url: &str,
    slot: &str,
    address: &str,
    state: &Path,
    folder: &Path,
) -> Result<Command> {
    let sinks = format!(
        r#"[sinks.push]
type = "websocket"
listen = "{address}"
delivery = "live-only"
max_connections_of_one = 10000
max_new_a_second = 100000
ping = "10m""#
    );
    let config = contender::Config {
        url,
        slot,
        publication: "bench",
        source: "",
        state,
        sinks: &sinks,
    };
    let file = config.write(folder)?;
    let mut command = contender::walgate()?;
    command.args(["run", "-q", "-c"]).arg(file);
    Ok(command)
}

/// The server in Node that hands on what a trigger notifies of.
pub(crate) fn notify_server(url: &str, port: u16) -> Result<Command> {
    let mut command = Command::new("node");
    command.current_dir(sources::built("notify")?);
    command.args(["server.mjs", &port.to_string(), url]);
    Ok(command)
}

impl Running {
    /// User and system time so far, in seconds.
    pub(crate) fn cpu_s(&self) -> Result<f64> {
        measure::cpu_of(self.child.id()).context("the server has ended")
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        measure::memory_bytes(self.child.id()).context("the server has ended")
    }

    /// Ends it, so that its slot is free.
    pub(crate) fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let since = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(since.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or something else went wrong that is told.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
