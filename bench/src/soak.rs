//! An hour under load: whether memory grows, and how long a kill -9 takes to be made up for.
//!
//! `walgate run` delivers into Kafka, with its journal on disk. First it is left alone, then it is killed and started
//! at once, several times. A consumer reads what is delivered all the while: each row has to come at least once.

pub(crate) mod figures;

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use crate::kafka::Broker;
use crate::live::arrivals::Arrivals;
use crate::live::follower::PUBLICATION;
use crate::live::load::{LATE_AT_MOST, Load};
use crate::live::receive::Take;
use crate::live::{broker, now_us, receive};
use crate::machine::Versions;
use crate::{contender, machine, measure, rates, results, say};
use figures::{Sample, Soak};

/// How it is measured.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// How long it is left alone
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    pub(crate) seconds: u32,
    /// Changes a second
    #[arg(long, default_value_t = 5_000)]
    pub(crate) rate: u32,
    /// How often it is killed then
    #[arg(long, default_value_t = 7)]
    pub(crate) kills: u32,
    /// Where the figures go as JSON; a plot goes beside it
    #[arg(long, default_value = "target/bench/soak.json")]
    pub(crate) out: PathBuf,
    /// As little as shows that it works
    #[arg(skip)]
    pub(crate) in_miniature: bool,
}

/// Only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between looks at what has come.
const LOOK: Duration = Duration::from_millis(10);

const SLOT: &str = "bench";

/// Measures, and reports.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    say("starting PostgreSQL");
    let settings = PostgresOptions::version(PgVersion::Any).setting("max_wal_size", "4GB");
    let server = Postgres::start(&settings)?;
    rates::make_tables(&server)?;
    server.sql(&format!(
        "select pg_create_logical_replication_slot('{SLOT}', 'pgoutput')"
    ))?;
    let broker = Broker::start(args.in_miniature)?;
    let soak = measure(args, &server, &broker.bootstrap())?;
    results::write(&args.out, &soak)?;
    figures::draw(&soak, &args.out.with_extension("svg"))?;
    println!("{}\n{}", soak.machine, soak.markdown());
    println!("all figures: {}", args.out.display());
    Ok(())
}

fn measure(args: &SoakArgs, server: &Postgres, bootstrap: &str) -> Result<Soak> {
    let load = Load {
        rate: args.rate,
        seconds: args.seconds + args.kills * pause_s(args),
        late_at_most: match args.in_miniature {
            true => PATIENCE,
            false => LATE_AT_MOST,
        },
    };
    let arrivals = Arc::new(Arrivals::new(load.rows())?.that_may_repeat());
    let stop = Arc::new(AtomicBool::new(false));
    let topic = format!("{SLOT}.changes");
    broker::create_topic(bootstrap, &topic)?;
    let take: Take = {
        let arrivals = Arc::clone(&arrivals);
        Arc::new(move |event| arrivals.came(event, now_us()))
    };
    let reader = receive::records(
        bootstrap,
        &topic,
        broker::PARTITIONS,
        take,
        Arc::clone(&stop),
    )?;
    let folder = tempfile::tempdir()?;
    let url = server.url();
    let config = config(&url, bootstrap, folder.path())?;
    let mut walgate = Running::start(&config)?;
    let start_us = now_us() + 50_000;
    let writer = thread::spawn(move || load.insert(&url, "changes", start_us));
    let under_load = UnderLoad {
        args,
        load,
        start_us,
        arrivals: &arrivals,
    };
    let samples = under_load.leave_alone(&mut walgate)?;
    let mut kills_s = Vec::new();
    for kill in 1..=args.kills {
        let took_s = under_load.kill(&mut walgate, &config)?;
        say(&format!("kill {kill}: caught up after {took_s:.2} s"));
        kills_s.push(took_s);
    }
    let written = writer.join();
    let written = written.map_err(|_| anyhow::anyhow!("the load panicked"))??;
    let rate = args.rate;
    ensure!(written, "the server does not take {rate} changes a second");
    under_load.wait_for_all(&mut walgate)?;
    walgate.end()?;
    stop.store(true, Ordering::Relaxed);
    let read = reader.join();
    read.map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
    arrivals.check()?;
    Ok(Soak {
        machine: machine::line(),
        versions: Versions::of(Some(server)).kafka(true).list(),
        rate,
        samples,
        kills_s,
        rows: arrivals.rows(),
        repeated: arrivals.repeated(),
    })
}

/// Between two kills it has time to be as it was.
const fn pause_s(args: &SoakArgs) -> u32 {
    if args.in_miniature { 1 } else { 15 }
}

fn config(url: &str, bootstrap: &str, folder: &Path) -> Result<PathBuf> {
    let path = folder.join("journal");
    // However full the machine's disk is: what stays free is not what is measured.
    let journal = format!("[journal]\npath = \"{}\"\nkeep_free = 0\n", path.display());
    contender::kafka_config(url, SLOT, PUBLICATION, bootstrap, folder, &journal)
}

/// A load that goes on.
struct UnderLoad<'a> {
    args: &'a SoakArgs,
    load: Load,
    start_us: u64,
    arrivals: &'a Arrivals,
}

impl UnderLoad<'_> {
    /// Only looks.
    fn leave_alone(&self, walgate: &mut Running) -> Result<Vec<Sample>> {
        let every = match self.args.in_miniature {
            true => Duration::from_millis(100),
            // Three hundred and sixty of an hour.
            false => Duration::from_secs(10),
        };
        let start = Instant::now();
        let mut samples = Vec::new();
        while start.elapsed() < Duration::from_secs(self.args.seconds.into()) {
            thread::sleep(every);
            walgate.ensure_runs()?;
            samples.push(Sample {
                seconds: start.elapsed().as_secs_f64(),
                memory_bytes: walgate.memory_bytes()?,
                rows: self.arrivals.rows(),
            });
        }
        Ok(samples)
    }

    /// Kills it, starts it at once, and waits until it has caught up: every row that was due a tenth of a second
    /// after the start has come, and no more is missing than the load makes in that time. Returns how long that
    /// took, in seconds.
    fn kill(&self, walgate: &mut Running, config: &Path) -> Result<f64> {
        let killed = Instant::now();
        walgate.kill();
        *walgate = Running::start(config)?;
        let tenth = u64::from(self.args.rate / 10);
        // What was due after the kill, only the new process can have delivered.
        let due_by_then = (self.rows_due() + tenth).min(self.load.rows());
        loop {
            let came = self.arrivals.rows();
            if came >= due_by_then && came + tenth >= self.rows_due() {
                break;
            }
            walgate.ensure_runs()?;
            ensure!(killed.elapsed() < PATIENCE, "it never catches up");
            thread::sleep(LOOK);
        }
        let took = killed.elapsed();
        thread::sleep(Duration::from_secs(pause_s(self.args).into()).saturating_sub(took));
        Ok(took.as_secs_f64())
    }

    /// Rows that are due by now.
    fn rows_due(&self) -> u64 {
        self.load.rows_due(now_us().saturating_sub(self.start_us))
    }

    /// Waits until each row has come.
    fn wait_for_all(&self, walgate: &mut Running) -> Result<()> {
        let since = Instant::now();
        while self.arrivals.rows() < self.load.rows() {
            walgate.ensure_runs()?;
            let (came, rows) = (self.arrivals.rows(), self.load.rows());
            ensure!(
                since.elapsed() < PATIENCE,
                "{came} of {rows} rows have come"
            );
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

/// A `walgate run` that is killed when this is dropped.
struct Running(Child);

impl Running {
    fn start(config: &Path) -> Result<Self> {
        let mut command = contender::walgate()?;
        command.args(["run", "-q", "-c"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn();
        Ok(Self(child.with_context(|| format!("start {command:?}"))?))
    }

    fn memory_bytes(&self) -> Result<u64> {
        measure::memory_bytes(self.0.id()).context("the process says no memory")
    }

    fn ensure_runs(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("walgate ended with {status}"),
            None => Ok(()),
        }
    }

    fn kill(&mut self) {
        // It may have ended, which who waits for it will tell.
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// Ends it in order.
    fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.0), Signal::TERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "walgate ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
