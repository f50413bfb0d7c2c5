//! Programs of others that drain a slot, each in the language it is made for, in `bench/peers`.
//!
//! A peer reads lines `SLOT CHANGES` from standard input and answers each with `first` when it hands over the
//! first change and `done CHANGES BYTES` when it hands over the last one. It prints `ready` before it waits for
//! a line. What it does before `ready` and between its line and `first` does not count. With 0 changes it follows
//! the slot until the next line, if it can.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::measure::{self, Figure, Watch};
use crate::sources;

/// A program of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// Debezium's embedded engine
    Debezium,
    /// Debezium as a source of Kafka Connect, into Kafka
    DebeziumConnect,
    /// Trendyol's go-pq-cdc
    GoPqCdc,
    /// Node's pg-logical-replication
    Node,
}

impl Peer {
    /// The name in the results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Debezium => "debezium embedded",
            Self::DebeziumConnect => "debezium connect into kafka",
            Self::GoPqCdc => "go-pq-cdc",
            Self::Node => "pg-logical-replication",
        }
    }

    /// The version that `bench/peers` asks for.
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Debezium | Self::DebeziumConnect => "Debezium 3.6.3.Final",
            Self::GoPqCdc => "go-pq-cdc 0.0.10",
            Self::Node => "pg-logical-replication 2.5.0",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Debezium | Self::DebeziumConnect => "debezium",
            Self::GoPqCdc => "go-pq-cdc",
            Self::Node => "node",
        }
    }

    /// Whether it is kept over all rounds, so that what its first drain compiles does not count.
    pub(crate) const fn is_warmed_up(self) -> bool {
        matches!(self, Self::Debezium | Self::DebeziumConnect)
    }

    /// Builds it.
    pub(crate) fn build(self) -> Result<()> {
        let (program, arguments): (_, &[&str]) = match self {
            Self::Debezium | Self::DebeziumConnect => ("mvn", &["-q", "-B", "package"]),
            Self::GoPqCdc => ("go", &["build", "-o", "drain", "."]),
            Self::Node => return sources::install(self.folder()),
        };
        sources::build(self.folder(), program, arguments)
    }

    fn command(self, url: &str, bootstrap: &str) -> Result<Command> {
        let folder = sources::built(self.folder())?;
        let server: postgres::Config = url.parse()?;
        let mut command = match self {
            Self::Debezium | Self::DebeziumConnect => {
                let mut java = Command::new("java");
                let classes = format!(
                    "{0}/bench-debezium-1.jar:{0}/lib/*",
                    folder.join("target").display()
                );
                let main = match self {
                    Self::Debezium => "walgate.Drain",
                    _ => "walgate.Connect",
                };
                java.args(["-cp", &classes, main, url]);
                java
            }
            Self::GoPqCdc => {
                let mut own = Command::new(folder.join("drain"));
                let port = server.get_ports().first().copied().unwrap_or(5432);
                own.args([
                    &format!("127.0.0.1:{port}"),
                    server.get_user().unwrap_or("postgres"),
                    "none",
                ]);
                own.arg(server.get_dbname().unwrap_or("postgres"));
                own
            }
            Self::Node => {
                let mut node = Command::new("node");
                node.arg(folder.join("drain.mjs")).arg(url);
                node
            }
        };
        command.arg("bench");
        if self == Self::DebeziumConnect {
            command.arg(bootstrap);
        }
        Ok(command)
    }

    /// Whether it delivers into Kafka.
    pub(crate) const fn needs_kafka(self) -> bool {
        matches!(self, Self::DebeziumConnect)
    }

    /// Starts it.
    pub(crate) fn start(self, url: &str, bootstrap: &str) -> Result<Running> {
        let mut child = self
            .command(url, bootstrap)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", self.name()))?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Running {
            peer: self,
            child,
            input,
            output,
        })
    }
}

/// A peer that runs.
pub(crate) struct Running {
    peer: Peer,
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Lets it follow a slot until so many changes have come.
    pub(crate) fn begin(&mut self, slot: &str, changes: u64) -> Result<()> {
        self.expect("ready")?;
        Ok(writeln!(self.input, "{slot} {changes}")?)
    }

    /// Lets it follow a slot until it is told to stop.
    pub(crate) fn follow(&mut self, slot: &str) -> Result<()> {
        self.begin(slot, 0)
    }

    /// Tells it to stop following.
    pub(crate) fn stop(&mut self) -> Result<()> {
        Ok(writeln!(self.input)?)
    }

    /// Waits until they have, and returns how many it has counted.
    pub(crate) fn done(&mut self) -> Result<u64> {
        self.expect("first")?;
        let done = self.expect("done")?;
        measure::counted(&done).context("a count")
    }

    /// User and system time so far, in seconds.
    pub(crate) fn cpu_s(&self) -> Option<f64> {
        measure::cpu_of(self.child.id())
    }

    /// The largest resident memory so far, in bytes.
    pub(crate) fn peak_memory_bytes(&self) -> Option<u64> {
        measure::peak_memory_bytes(self.child.id())
    }

    /// Drains one slot.
    pub(crate) fn drain(&mut self, url: &str, slot: &str, changes: u64) -> Result<Figure> {
        self.expect("ready")?;
        let pid = self.child.id();
        let cpu = || measure::cpu_of(pid).context("the system tells no CPU time");
        let used = cpu()?;
        let walsender = Watch::walsender(url, slot);
        writeln!(self.input, "{slot} {changes}")?;
        self.expect("first")?;
        let start = Instant::now();
        let done = self.expect("done")?;
        let wall_s = start.elapsed().as_secs_f64();
        let client_cpu_s = cpu()? - used;
        let counted = measure::counted(&done);
        ensure!(
            counted == Some(changes),
            "{} has drained {done:?} of {changes}",
            self.peer.name()
        );
        Ok(Figure {
            wall_s,
            client_cpu_s,
            walsender_cpu_s: walsender.stop()?,
            peak_memory_bytes: measure::peak_memory_bytes(pid).unwrap_or_default(),
            counted,
        })
    }

    fn expect(&mut self, word: &str) -> Result<String> {
        match self.output.next().transpose()? {
            Some(line) if line.starts_with(word) => Ok(line),
            Some(line) => bail!("{} says {line:?} instead of {word}", self.peer.name()),
            None => bail!("{} ended before it said {word}", self.peer.name()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
