//! The programs that drain.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;

use anyhow::{Context, Result};
use walgate_throwaway::Postgres;

use crate::dataset::Backlog;
use crate::measure::{self, Figure};

/// A program that drains the backlog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contender {
    /// PostgreSQL's own client, raw messages to /dev/null: the yardstick.
    RecvLogical,
    /// `walgate tail`, JSON to /dev/null.
    Tail,
    /// `walgate run` into Kafka, until Kafka holds everything.
    Kafka,
    /// As [`Kafka`](Self::Kafka), but another build or with other settings.
    Variant(Variant),
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
    pub(crate) server: &'a Postgres,
    pub(crate) slot: String,
    pub(crate) backlog: &'a Backlog,
    pub(crate) bootstrap: String,
}

impl Contender {
    /// The name in the report.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::RecvLogical => "pg_recvlogical",
            Self::Tail => "walgate tail",
            Self::Kafka => "walgate run into kafka",
            Self::Variant(variant) => &variant.name,
        }
    }

    /// Drains the backlog and measures it.
    pub(crate) fn drain(&self, run: &Run<'_>) -> Result<Figure> {
        let url = run.server.url();
        let folder = tempfile::tempdir()?;
        let mut command = match self {
            Self::RecvLogical => recv_logical(run)?,
            Self::Tail => tail(run)?,
            Self::Kafka => kafka(run, folder.path(), walgate()?, "")?,
            Self::Variant(variant) => {
                let program = variant
                    .program
                    .as_ref()
                    .map_or_else(walgate, |p| Ok(Command::new(p)))?;
                kafka(run, folder.path(), program, &variant.settings)?
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        measure::run(command, &url, &run.slot)
    }
}

/// Fails when a program is missing, before anything is started.
pub(crate) fn check() -> Result<()> {
    receiver()?;
    walgate().map(drop)
}

fn receiver() -> Result<PathBuf> {
    walgate_throwaway::client_program("pg_recvlogical").context(
        "pg_recvlogical, the yardstick, is not installed: apt-get install postgresql-client, or brew install libpq",
    )
}

fn recv_logical(run: &Run<'_>) -> Result<Command> {
    let mut command = receive(&run.server.url(), &run.slot, "bench")?;
    command.args(["--endpos", &run.backlog.end, "-f", "/dev/null"]);
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

fn tail(run: &Run<'_>) -> Result<Command> {
    let mut command = walgate()?;
    command.args([
        "tail",
        "-q",
        &run.server.url(),
        "--slot",
        &run.slot,
        "--publication",
        "bench",
    ]);
    command.args(["--until", &run.backlog.end, "--format", "json"]);
    Ok(command)
}

fn kafka(run: &Run<'_>, folder: &Path, mut command: Command, settings: &str) -> Result<Command> {
    let url = run.server.url();
    let config = kafka_config(&url, &run.slot, "bench", &run.bootstrap, folder, settings)?;
    command
        .args(["run", "-q", "--until", &run.backlog.end, "-c"])
        .arg(&config);
    Ok(command)
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
    let config = folder.join("walgate.toml");
    let text = format!(
        r#"[source]
url = "{url}"
slot = "{slot}"
publications = ["{publication}"]

[state]
dir = "{state}"

[sinks.kafka]
type = "kafka"
brokers = ["{brokers}"]
topic = "{slot}.{{table}}"
create_topics = {{ enabled = true, partitions = 4, replication_factor = 1 }}
{settings}
"#,
        state = folder.join("state").display(),
    );
    std::fs::write(&config, text)?;
    Ok(config)
}
