//! The programs that follow.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::receive::{self, Reader, Take};
use super::{broker, poll};
use crate::fan_out::contender::{notify_server, push_server};
use crate::{contender, measure};

/// How long a program that was told to end may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The publication of what is followed.
pub(crate) const PUBLICATION: &str = "bench";

/// A program that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follower {
    /// The least that a receiver can do; hands nothing over.
    Bare,
    /// `walgate tail`, to a pipe.
    Stdout,
    /// `walgate run` with a Kafka sink, and a consumer.
    Kafka,
    /// `walgate run` with a sink for clients, and a client over WebSocket.
    WebSocket,
    /// A trigger with NOTIFY, a server in Node, and a client over WebSocket.
    Notify,
    /// A query every two seconds, to a pipe.
    Polling,
}

/// What is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Followed<'a> {
    /// The database.
    pub(crate) url: &'a str,
    /// The slot, of those that read one.
    pub(crate) slot: &'a str,
    /// The tables: a client follows the first, and polling asks for all.
    pub(crate) tables: &'a [&'a str],
    /// The broker.
    pub(crate) bootstrap: &'a str,
    /// Changes after which the bare receiver ends.
    pub(crate) changes: u64,
}

/// A program that runs.
pub(crate) struct Running {
    child: Child,
    reader: Option<Reader>,
    stop: Arc<AtomicBool>,
    _folder: TempDir,
}

impl Follower {
    /// The name in the results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare receiver",
            Self::Stdout => "walgate to stdout",
            Self::Kafka => "walgate into Kafka",
            Self::WebSocket => "walgate to WebSocket",
            Self::Notify => "NOTIFY to WebSocket",
            Self::Polling => "polling every 2 s",
        }
    }

    /// Whether it reads a slot.
    pub(crate) const fn reads_a_slot(self) -> bool {
        !matches!(self, Self::Notify | Self::Polling)
    }

    /// How long a row may have to wait for it by its design.
    pub(crate) const fn interval(self) -> Duration {
        match self {
            Self::Polling => poll::EVERY,
            _ => Duration::ZERO,
        }
    }

    /// Starts it, and hands over what comes.
    pub(crate) fn start(self, followed: &Followed<'_>, take: Take) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        let stop = Arc::new(AtomicBool::new(false));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut command = self.command(followed, &folder, port)?;
        let has_output = matches!(self, Self::Bare | Self::Stdout | Self::Polling);
        let output = match has_output {
            true => Stdio::piped(),
            false => Stdio::null(),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let output = child.stdout.take();
        let mut running = Running {
            child,
            reader: None,
            stop: Arc::clone(&stop),
            _folder: folder,
        };
        let table = followed.tables.first().copied().unwrap_or_default();
        running.reader = Some(match self {
            Self::Bare | Self::Stdout | Self::Polling => {
                receive::lines(output.context("no output")?, take)
            }
            Self::WebSocket | Self::Notify => receive::messages(&address, table, take)?,
            Self::Kafka => {
                let topic = format!("{}.{table}", followed.slot);
                receive::records(followed.bootstrap, &topic, broker::PARTITIONS, take, stop)?
            }
        });
        Ok(running)
    }

    fn command(self, followed: &Followed<'_>, folder: &TempDir, port: u16) -> Result<Command> {
        let Followed { url, slot, .. } = *followed;
        let folder = folder.path();
        Ok(match self {
            Self::Bare => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["bare", "--url", url, "--slot", slot]);
                let changes = followed.changes.to_string();
                command.args(["--publication", PUBLICATION, "--changes", &changes]);
                command
            }
            Self::Stdout => {
                let mut command = contender::walgate()?;
                command.args(["tail", "-q", url, "--slot", slot]);
                command.args(["--publication", PUBLICATION, "--format", "json"]);
                command
            }
            Self::Kafka => {
                for table in followed.tables {
                    broker::create_topic(followed.bootstrap, &format!("{slot}.{table}"))?;
                }
                let bootstrap = followed.bootstrap;
                let config =
                    contender::kafka_config(url, slot, PUBLICATION, bootstrap, folder, "")?;
                let mut command = contender::walgate()?;
                command.args(["run", "-q", "-c"]).arg(config);
                command
            }
            Self::WebSocket => {
                let address = format!("127.0.0.1:{port}");
                push_server(url, slot, &address, &folder.join("state"), folder)?
            }
            Self::Notify => notify_server(url, port)?,
            Self::Polling => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["poll", "--url", url]);
                for table in followed.tables {
                    command.args(["--table", table]);
                }
                command
            }
        })
    }
}

impl Running {
    /// User and system time so far, in seconds.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        measure::cpu_of(self.child.id())
    }

    /// The largest resident memory so far, in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        measure::peak_memory_bytes(self.child.id())
    }

    /// Fails when the program has ended by itself.
    pub(crate) fn ensure_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it has ended with {status}"),
            None => Ok(()),
        }
    }

    /// Ends it, so that its slot is free. Fails when it handed over what could not be read.
    pub(crate) fn end(mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        }
        let since = Instant::now();
        while self.child.try_wait()?.is_none() && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        self.stop.store(true, Ordering::Relaxed);
        match self.reader.take().map(Reader::join) {
            Some(Ok(read)) => read,
            Some(Err(_)) => bail!("its reader panicked"),
            None => Ok(()),
        }
    }

    fn kill(&mut self) {
        // It has ended, or something else went wrong that is told.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.kill();
    }
}
