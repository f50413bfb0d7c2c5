//! Kafka is away for minutes under a steady load: what the slot holds back on the source's disk, with
//! the journal on disk and without, and how the sink catches up.
//!
//! The same load runs through the whole of it. Beside Walgate, pg_recvlogical drains a slot of its
//! own to /dev/null: no consumer can free the log sooner than it does. What Kafka holds in the end is
//! read back: each row once.

mod load;
pub(crate) mod plot;
pub(crate) mod report;
mod sample;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use postgres::{Client, NoTls};
use serde::{Deserialize, Serialize};
use walgate_throwaway::{Kafka, KafkaOptions, PgVersion, Postgres, PostgresOptions};

use crate::{contender, measure, say};
use load::Load;
use sample::{Sample, Sampler};

/// How an outage is measured.
#[derive(Args)]
pub(crate) struct OutageArgs {
    /// How long Kafka is away
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) seconds: u64,
    /// Changes a second
    #[arg(long, default_value_t = 5_000)]
    pub(crate) rate: u32,
    /// Where figures and plot go: `outage.json` and `outage.svg`
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// No longer before and after the outage than shows that it works
    #[arg(skip)]
    pub(crate) in_miniature: bool,
}

/// Load before the outage: connections stand, the broker has compiled what it needs.
const WARM_UP: Duration = Duration::from_secs(20);

/// Load behind the outage, when everything has been caught up with.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// Only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Walgate's slot and the yardstick's.
const SLOTS: [&str; 2] = ["walgate", "beside"];

/// Where the drain afterwards begins: at the beginning.
const DRAINED: &str = "drained";

const TOPIC: &str = "load";

/// The folder that holds the journal, if any.
const JOURNAL: &str = "journal";

/// One of the two runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Story {
    /// What is measured.
    pub(crate) name: String,
    /// Once a second, from the start of the load.
    pub(crate) samples: Vec<Sample>,
    /// When Kafka went, in seconds from the start of the load.
    pub(crate) down_at: f64,
    /// When it was back.
    pub(crate) up_at: f64,
    /// When everything that was committed by then was delivered.
    pub(crate) caught_up_at: f64,
    /// Rows that were committed, all of which Kafka holds once.
    pub(crate) rows: u64,
    /// Changes a second that the load has had.
    pub(crate) load_rate: f64,
    /// Changes a second that Kafka took between being back and having everything.
    pub(crate) catch_up_rate: f64,
    /// Changes a second of a drain of the same rows from a slot into the same Kafka.
    pub(crate) drain_rate: f64,
    /// Largest resident memory of Walgate, in bytes.
    pub(crate) peak_memory_bytes: u64,
}

/// Measures both, and reports.
pub(crate) fn run(args: &OutageArgs) -> Result<()> {
    let stories = vec![
        story("journal on disk", true, args)?,
        story("journal in memory", false, args)?,
    ];
    report::finish(stories, args.rate, &args.out)
}

fn story(name: &'static str, on_disk: bool, args: &OutageArgs) -> Result<Story> {
    say(&format!("{name}: starting PostgreSQL and Kafka"));
    let server = Postgres::start(
        &PostgresOptions::version(PgVersion::Any)
            .setting("max_wal_size", "4GB")
            .setting("synchronous_commit", "off"),
    )?;
    let mut kafka = Kafka::start(&KafkaOptions {
        optimised: !args.in_miniature,
        ..KafkaOptions::default()
    })?;
    let folder = tempfile::tempdir()?;
    let admin = prepared(&server.url())?;
    let config = config(&server, &kafka, folder.path(), on_disk)?;
    let mut walgate = Running::start(contender::walgate()?.args(["run", "-q", "-c"]).arg(config))?;
    let mut beside = contender::receive(&server.url(), SLOTS[1], "load")?;
    let _beside = Running::start(beside.args(["-f", "/dev/null"]))?;
    let load = Load::start(&server.url(), args.rate);
    let topic = format!("{}.{TOPIC}", SLOTS[0]);
    let mut sampler = Sampler::new(admin, &topic, walgate.id(), folder.path().join(JOURNAL));

    let lasts = |long: Duration| match args.in_miniature {
        true => Duration::from_secs(1),
        false => long,
    };
    sampler.run_for(lasts(WARM_UP), &load, Some(&kafka))?;
    say(&format!("{name}: Kafka goes for {} s", args.seconds));
    kafka.stop()?;
    let down_at = sampler.seconds();
    sampler.run_for(Duration::from_secs(args.seconds), &load, None)?;
    kafka.start_again()?;
    let up_at = sampler.seconds();
    say(&format!("{name}: Kafka is back"));
    let before = sampler.delivered_now(&kafka)?;
    let deadline = Instant::now() + PATIENCE;
    // Caught up: less is missing than the load makes in a second.
    while sampler.sample(&load, Some(&kafka))?.missing() > u64::from(args.rate) {
        walgate.ensure_runs()?;
        ensure!(Instant::now() < deadline, "Kafka never gets everything");
        sampler.pause();
    }
    let caught_up_at = sampler.seconds();
    let catch_up_rate = (sampler.delivered_now(&kafka)? - before) as f64 / (caught_up_at - up_at);
    sampler.run_for(lasts(AFTERWARDS), &load, Some(&kafka))?;
    let load_s = sampler.seconds();
    let rows = load.stop()?;
    while sampler.delivered_now(&kafka)? < rows {
        walgate.ensure_runs()?;
        ensure!(Instant::now() < deadline, "Kafka never gets everything");
        sampler.pause();
    }
    let peak_memory_bytes = walgate.end()?;
    check(&kafka, &topic, rows)?;
    say(&format!(
        "{name}: {rows} rows, each once; a drain to compare"
    ));
    let drain_rate = rows as f64 / drain(&server, &kafka, folder.path())?;
    Ok(Story {
        name: name.to_owned(),
        samples: sampler.samples,
        down_at,
        up_at,
        caught_up_at,
        rows,
        load_rate: rows as f64 / load_s,
        catch_up_rate,
        drain_rate,
        peak_memory_bytes,
    })
}

/// A connection to the server, with the table and all slots.
fn prepared(url: &str) -> Result<Client> {
    let mut admin = Client::connect(url, NoTls).context("connect to the server")?;
    admin.batch_execute(load::SCHEMA)?;
    for slot in SLOTS.iter().chain([&DRAINED]) {
        let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
        admin.execute(create, &[slot])?;
    }
    Ok(admin)
}

fn config(server: &Postgres, kafka: &Kafka, folder: &Path, on_disk: bool) -> Result<PathBuf> {
    let journal = match on_disk {
        // However full the machine's disk is.
        true => format!(
            "[journal]\npath = \"{}\"\nkeep_free = 0\n",
            folder.join(JOURNAL).display()
        ),
        false => String::new(),
    };
    contender::kafka_config(
        &server.url(),
        SLOTS[0],
        "load",
        &kafka.bootstrap(),
        folder,
        &journal,
    )
}

/// Each row of the load is in Kafka, once.
fn check(kafka: &Kafka, topic: &str, rows: u64) -> Result<()> {
    let mut seen = vec![false; usize::try_from(rows)? + 1];
    walgate_tests::each_record(&kafka.bootstrap(), topic, |_, record| {
        let key = record.key.context("a record without key")?;
        let key: serde_json::Value = serde_json::from_str(&key)?;
        let id = key["id"].as_u64().context("a key without id")?;
        let place = seen
            .get_mut(usize::try_from(id)?)
            .context("a row that was never made")?;
        ensure!(!std::mem::replace(place, true), "row {id} is there twice");
        Ok(())
    })?;
    let missing = seen.iter().skip(1).filter(|seen| !**seen).count();
    ensure!(missing == 0, "{missing} rows are missing");
    Ok(())
}

/// Drains the same rows from the beginning into the same Kafka; returns the seconds it took.
fn drain(server: &Postgres, kafka: &Kafka, folder: &Path) -> Result<f64> {
    let end = server.sql("select pg_current_wal_lsn()")?;
    let end = end.first().and_then(|row| row.first()).cloned().flatten();
    let end = end.context("an LSN")?;
    let folder = folder.join("drain");
    std::fs::create_dir(&folder)?;
    let config = contender::kafka_config(
        &server.url(),
        DRAINED,
        "load",
        &kafka.bootstrap(),
        &folder,
        "",
    )?;
    let mut command = contender::walgate()?;
    command
        .args(["run", "-q", "--until", &end, "-c"])
        .arg(config);
    Ok(measure::run(command, &server.url(), DRAINED)?.wall_s)
}

/// A program that is killed when this is dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self(child))
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn ensure_runs(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("walgate ended with {status}"),
            None => Ok(()),
        }
    }

    /// Ends it in order; returns its largest resident memory, in bytes.
    fn end(&mut self) -> Result<u64> {
        let peak = measure::peak_memory_bytes(self.id()).context("the process says no memory")?;
        let pid = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(sent.success(), "walgate can't be signalled");
        let status = self.0.wait()?;
        ensure!(status.success(), "walgate ended with {status}");
        Ok(peak)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
