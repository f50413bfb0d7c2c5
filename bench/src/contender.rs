//! The programs that drain.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use walgate_throwaway::Postgres;

use crate::dataset::Backlog;
use crate::measure::{self, Figure};

/// A program that drains the backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contender {
    /// PostgreSQL's own client, raw messages to /dev/null: the yardstick.
    RecvLogical,
    /// `walgate tail`, JSON to /dev/null.
    Tail,
    /// `walgate run` into Kafka, until Kafka holds everything.
    Kafka,
}

/// One drain to be done.
pub(crate) struct Run<'a> {
    pub(crate) server: &'a Postgres,
    pub(crate) slot: String,
    pub(crate) backlog: &'a Backlog,
    pub(crate) bootstrap: String,
    pub(crate) round: usize,
}

impl Contender {
    /// The name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RecvLogical => "pg_recvlogical",
            Self::Tail => "walgate tail",
            Self::Kafka => "walgate run into kafka",
        }
    }

    /// Drains the backlog and measures it.
    pub(crate) fn drain(self, run: &Run<'_>) -> Result<Figure> {
        let url = run.server.url();
        let folder = tempfile::tempdir()?;
        let mut command = match self {
            Self::RecvLogical => recv_logical(run)?,
            Self::Tail => tail(run)?,
            Self::Kafka => kafka(run, folder.path())?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        measure::run(command, &url, &run.slot)
    }
}

fn recv_logical(run: &Run<'_>) -> Result<Command> {
    let program = walgate_throwaway::client_program("pg_recvlogical")
        .context("pg_recvlogical is not installed: apt-get install postgresql-client")?;
    let mut command = Command::new(program);
    command.args(["-d", &run.server.url(), "--slot", &run.slot, "--start", "--no-loop"]);
    command.args(["-o", "proto_version=1", "-o", "publication_names=bench"]);
    command.args(["--endpos", &run.backlog.end, "-f", "/dev/null"]);
    Ok(command)
}

/// The program of the same build as the bench.
fn walgate() -> Result<Command> {
    let bench = std::env::current_exe()?;
    let program = bench.with_file_name("walgate");
    anyhow::ensure!(program.exists(), "{} is not built: cargo build --release", program.display());
    Ok(Command::new(program))
}

fn tail(run: &Run<'_>) -> Result<Command> {
    let mut command = walgate()?;
    command.args(["tail", "-q", &run.server.url(), "--slot", &run.slot, "--publication", "bench"]);
    command.args(["--until", &run.backlog.end, "--format", "json"]);
    Ok(command)
}

fn kafka(run: &Run<'_>, folder: &std::path::Path) -> Result<Command> {
    let config = folder.join("walgate.toml");
    let text = format!(
        r#"[source]
url = "{url}"
slot = "{slot}"
publications = ["bench"]

[state]
dir = "{state}"

[sinks.kafka]
type = "kafka"
brokers = "{brokers}"
topic = "bench-{round}.{{schema}}.{{table}}"
create_topics = {{ partitions = 4, replication_factor = 1 }}
"#,
        url = run.server.url(),
        slot = run.slot,
        state = folder.join("state").display(),
        brokers = run.bootstrap,
        round = run.round,
    );
    std::fs::write(&config, text)?;
    let mut command = walgate()?;
    command.args(["run", "-q", "--until", &run.backlog.end, "-c"]).arg(&config);
    Ok(command)
}
