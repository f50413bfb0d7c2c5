//! The programs that drain.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result};

use crate::drain::check::Printed;
use crate::live;
use crate::measure::{self, Figure};
use crate::peer::{Peer, Running};
use crate::work::Backlog;

/// A program that drains the backlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contender {
    /// PostgreSQL's own client, raw messages to /dev/null: the yardstick.
    RecvLogical,
    /// The least that a receiver can do, values as text.
    Bare,
    /// The least that a receiver can do, values in binary form.
    BareBinary,
    /// The client of the `pgwire-replication` crate.
    Pgwire,
    /// `walgate tail`, JSON to /dev/null.
    Tail,
    /// `walgate run`, JSON to /dev/null, values in binary form from the server.
    Binary,
    /// A producer of as many messages, and nothing else: the yardstick of what goes into Kafka.
    Producer,
    /// `walgate run` into Kafka, until Kafka holds everything.
    Kafka,
    /// As [`Kafka`](Self::Kafka), but another build or with other settings.
    Variant(Variant),
    /// A program of others.
    Peer(Peer),
}

/// Another build of `walgate run`, or other settings of its Kafka sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    name: String,
    /// The program; none: that of this build.
    program: Option<PathBuf>,
    /// Lines for the sink's section.
    settings: String,
}

/// `NAME`, `NAME@PROGRAM`, `NAME: SETTINGS` or `NAME@PROGRAM: SETTINGS`.
impl FromStr for Variant {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (head, settings) = text.split_once(": ").unwrap_or((text, ""));
        let (name, program) = match head.split_once('@') {
            Some((name, program)) => (name, Some(PathBuf::from(program))),
            None => (head, None),
        };
        anyhow::ensure!(
            !name.is_empty(),
            "a variant needs a name, such as 'large: buffer = \"64MiB\"'"
        );
        Ok(Self {
            name: name.to_owned(),
            program,
            settings: settings.to_owned(),
        })
    }
}

/// One drain to be done.
pub(crate) struct Run<'a> {
    /// The server, as the contender reaches it.
    pub(crate) url: &'a str,
    /// The server, as the one who measures reaches it.
    pub(crate) admin: &'a str,
    pub(crate) slot: String,
    pub(crate) backlog: &'a Backlog,
    pub(crate) bootstrap: String,
    /// What Walgate makes of the backlog; none until it is checked.
    pub(crate) printed: Option<Printed>,
}

impl Contender {
    /// The name in the report.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::RecvLogical => "pg_recvlogical",
            Self::Bare => "bare receiver",
            Self::BareBinary => "bare receiver, binary",
            Self::Pgwire => "pgwire-replication",
            Self::Tail => "walgate tail",
            Self::Binary => "walgate run, binary",
            Self::Producer => "librdkafka alone",
            Self::Kafka => "walgate run into kafka",
            Self::Variant(variant) => &variant.name,
            Self::Peer(peer) => peer.name(),
        }
    }

    /// Whether it is slow when it has just started: a broker or a virtual machine that compiles what runs.
    pub(crate) const fn needs_warm_up(&self) -> bool {
        match self {
            Self::Kafka => true,
            Self::Peer(peer) => peer.is_warmed_up(),
            _ => false,
        }
    }

    /// Whether it tells how many messages it was sent.
    pub(crate) const fn counts_messages(&self) -> bool {
        matches!(self, Self::Bare | Self::BareBinary | Self::Pgwire)
    }

    /// Drains the backlog and measures it. A peer that runs is reused.
    pub(crate) fn drain(&self, run: &Run<'_>, running: &mut Option<Running>) -> Result<Figure> {
        let folder = tempfile::tempdir()?;
        let mut command = match self {
            Self::RecvLogical => recv_logical(run)?,
            Self::Bare => receiver_of_ours(run, "bare")?,
            Self::BareBinary => {
                let mut command = receiver_of_ours(run, "bare")?;
                command.arg("--binary");
                command
            }
            Self::Pgwire => receiver_of_ours(run, "pgwire")?,
            Self::Tail => tail(run)?,
            Self::Binary => binary(run, folder.path())?,
            Self::Producer => producer(run)?,
            Self::Kafka => kafka(run, folder.path(), walgate()?, "")?,
            Self::Variant(variant) => {
                let program = variant
                    .program
                    .as_ref()
                    .map_or_else(walgate, |p| Ok(Command::new(p)))?;
                kafka(run, folder.path(), program, &variant.settings)?
            }
            Self::Peer(peer) => {
                let mut own = match running.take() {
                    Some(own) => own,
                    None => peer.start(run.url, &run.bootstrap)?,
                };
                let figure = own.drain(run.admin, &run.slot, run.backlog.changes)?;
                *running = peer.is_warmed_up().then_some(own);
                return Ok(figure);
            }
        };
        let output = match self.counts_messages() {
            true => Stdio::piped(),
            false => Stdio::null(),
        };
        command.stdin(Stdio::null()).stdout(output);
        measure::run(command, run.admin, &run.slot)
    }
}

/// Fails when a program is missing, before anything is started.
pub(crate) fn check() -> Result<()> {
    receiver()?;
    walgate().map(drop)
}

/// Whether PostgreSQL's own client is there.
pub(crate) fn has_receiver() -> bool {
    receiver().is_ok()
}

fn receiver() -> Result<PathBuf> {
    walgate_throwaway::client_program("pg_recvlogical").context(
        "pg_recvlogical, the yardstick, is not installed: apt-get install postgresql-client, or brew install libpq",
    )
}

/// The messages of a drain into Kafka, into a topic of its own.
fn producer(run: &Run<'_>) -> Result<Command> {
    let printed = run.printed.context("the backlog is not checked yet")?;
    let topic = format!("{}.alone", run.slot);
    live::broker::create_topic(&run.bootstrap, &topic)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["produce", "--brokers", &run.bootstrap, "--topic", &topic]);
    command.args(["--messages", &printed.messages.to_string()]);
    command.args(["--bytes", &printed.bytes_a_message().to_string()]);
    Ok(command)
}

fn recv_logical(run: &Run<'_>) -> Result<Command> {
    let mut command = receive(run.url, &run.slot, "bench")?;
    command.args(["--endpos", &run.backlog.end, "-f", "/dev/null"]);
    Ok(command)
}

/// A command of this program that reads a slot.
fn receiver_of_ours(run: &Run<'_>, name: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([name, "--url", run.url, "--slot", &run.slot]);
    command.args(["--publication", "bench", "--until", &run.backlog.end]);
    Ok(command)
}

/// pg_recvlogical on a slot; where it writes to is still to be said.
pub(crate) fn receive(url: &str, slot: &str, publication: &str) -> Result<Command> {
    let mut command = Command::new(receiver()?);
    command.args(["-d", url, "--slot", slot, "--start", "--no-loop"]);
    let publications = format!("publication_names={publication}");
    command.args(["-o", "proto_version=1", "-o", &publications]);
    Ok(command)
}

/// The program of the same build as the bench.
pub(crate) fn walgate() -> Result<Command> {
    let bench = std::env::current_exe()?;
    let program = bench.with_file_name("walgate");
    anyhow::ensure!(
        program.exists(),
        "{} is not built: cargo build --release",
        program.display()
    );
    Ok(Command::new(program))
}

/// `walgate tail` on the backlog, to its end.
pub(crate) fn tail(run: &Run<'_>) -> Result<Command> {
    let mut command = walgate()?;
    command.args([
        "tail",
        "-q",
        run.url,
        "--slot",
        &run.slot,
        "--publication",
        "bench",
    ]);
    command.args(["--until", &run.backlog.end, "--format", "json"]);
    Ok(command)
}

/// `walgate run` to standard output, asking the server for binary values, to the backlog's end.
pub(crate) fn binary(run: &Run<'_>, folder: &Path) -> Result<Command> {
    let config = Config {
        url: run.url,
        slot: &run.slot,
        publication: "bench",
        source: "binary = \"auto\"",
        state: &folder.join("state"),
        sinks: "[sinks.stdout]\ntype = \"stdout\"",
    };
    Ok(run_to_the_end(walgate()?, run, &config.write(folder)?))
}

fn kafka(run: &Run<'_>, folder: &Path, program: Command, settings: &str) -> Result<Command> {
    let config = kafka_config(
        run.url,
        &run.slot,
        "bench",
        &run.bootstrap,
        folder,
        settings,
    )?;
    Ok(run_to_the_end(program, run, &config))
}

fn run_to_the_end(mut program: Command, run: &Run<'_>, config: &Path) -> Command {
    program
        .args(["run", "-q", "--until", &run.backlog.end, "-c"])
        .arg(config);
    program
}

/// Writes a configuration of one Kafka sink into a folder, where its state goes as well. `settings`
/// are more lines for the sink, or sections.
pub(crate) fn kafka_config(
    url: &str,
    slot: &str,
    publication: &str,
    brokers: &str,
    folder: &Path,
    settings: &str,
) -> Result<PathBuf> {
    let sinks = format!(
        r#"[sinks.kafka]
type = "kafka"
brokers = ["{brokers}"]
topic = "{slot}.{{table}}"
create_topics = {{ enabled = true, partitions = 4, replication_factor = 1 }}
{settings}"#
    );
    let config = Config {
        url,
        slot,
        publication,
        source: "",
        state: &folder.join("state"),
        sinks: &sinks,
    };
    config.write(folder)
}

/// A configuration of `walgate run`.
pub(crate) struct Config<'a> {
    pub(crate) url: &'a str,
    pub(crate) slot: &'a str,
    pub(crate) publication: &'a str,
    /// More lines of `[source]`.
    pub(crate) source: &'a str,
    /// Where the state goes.
    pub(crate) state: &'a Path,
    /// The sections of the sinks.
    pub(crate) sinks: &'a str,
}

impl Config<'_> {
    /// Writes it into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let Self {
            url,
            slot,
            publication,
            source,
            state,
            sinks,
        } = self;
        let text = format!(
            r#"[source]
url = "{url}"
slot = "{slot}"
publications = ["{publication}"]
{source}

[state]
dir = "{state}"

{sinks}
"#,
            state = state.display(),
        );
        let file = folder.join("walgate.toml");
        std::fs::write(&file, text)?;
        Ok(file)
    }
}
