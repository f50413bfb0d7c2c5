//! Steady rates: how old a change is when it arrives, and which rates a contender holds.
//!
//! The age of a row is from when its transaction was due by the schedule until the program that wants it has it:
//! whoever stops for a moment is charged for all that would have come meanwhile (no coordinated omission).

pub(crate) mod figures;
pub(crate) mod plot;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use postgres::{Client, NoTls};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use crate::kafka::Broker;
use crate::live::arrivals::Arrivals;
use crate::live::broker::{self, Alone};
use crate::live::follower::{Followed, Follower, Running};
use crate::live::load::{self, Load};
use crate::live::receive::{self, Take};
use crate::live::{TELL, now_us};
use crate::machine::Versions;
use crate::peer::{self, Peer};
use crate::{machine, measure, results, say, sources};
use figures::{Latency, Rates};

/// How steady rates are measured.
#[derive(Args)]
pub(crate) struct RatesArgs {
    /// Changes a second, one measurement after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 50_000])]
    pub(crate) rate: Vec<u32>,
    /// How long each is measured; the first fifth is a warm-up that does not count
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// Rounds; each measures every contender at every rate
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Leave Kafka out
    #[arg(long)]
    pub(crate) without_kafka: bool,
    /// Leave trigger and NOTIFY out
    #[arg(long)]
    pub(crate) without_notify: bool,
    /// Let Debezium join, as a source of Kafka Connect
    #[arg(long, conflicts_with = "without_kafka")]
    pub(crate) debezium: bool,
    /// Only contenders whose names contain this; may be repeated
    #[arg(long, value_name = "PART")]
    pub(crate) only: Vec<String>,
    /// Where the figures go as JSON; a plot goes beside it
    #[arg(long, default_value = "target/bench/rates.json")]
    pub(crate) out: PathBuf,
    /// Each row has to come, however long it takes; nothing is warmed up
    #[arg(skip)]
    pub(crate) in_miniature: bool,
}

/// Three tables that are alike, but for who is told of them.
const SCHEMA: &str = "
create table changes (
    id bigserial primary key, seq bigint not null, due bigint not null,
    agent_id int not null, x int not null, y int not null, heading text not null);
create table notified (like changes including all);
create table polled (like changes including all, xid xid8 not null default pg_current_xact_id());
create index on polled (xid);
create publication bench for table changes;
create trigger tell after insert on notified for each row execute function tell();";

/// Makes the tables, and what tells of them.
pub(crate) fn make_tables(server: &Postgres) -> Result<()> {
    server.sql(TELL)?;
    server.sql(SCHEMA)?;
    Ok(())
}

/// A rate is held when the last row comes so long after it was due, and after what the contender waits by design.
const HELD_WITHIN: Duration = Duration::from_secs(1);

/// Only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between looks at what has come.
const LOOK: Duration = Duration::from_millis(20);

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Follower(Follower),
    /// A producer and a consumer: the yardstick of who goes through Kafka.
    KafkaAlone,
    /// Debezium as a source of Kafka Connect, and a consumer.
    Debezium,
}

impl Contender {
    const fn name(self) -> &'static str {
        match self {
            Self::Follower(follower) => follower.name(),
            Self::KafkaAlone => figures::KAFKA_ALONE,
            Self::Debezium => Peer::DebeziumConnect.name(),
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Self::Follower(Follower::Notify) => "notified",
            Self::Follower(Follower::Polling) => "polled",
            _ => "changes",
        }
    }

    const fn interval(self) -> Duration {
        match self {
            Self::Follower(follower) => follower.interval(),
            Self::KafkaAlone | Self::Debezium => Duration::ZERO,
        }
    }

    const fn reads_a_slot(self) -> bool {
        match self {
            Self::Follower(follower) => follower.reads_a_slot(),
            Self::KafkaAlone => false,
            Self::Debezium => true,
        }
    }

    /// Whether it, or the broker behind it, compiles what it runs.
    const fn needs_warm_up(self) -> bool {
        matches!(
            self,
            Self::KafkaAlone | Self::Debezium | Self::Follower(Follower::Kafka)
        )
    }
}

/// Measures, and reports.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn run(args: &RatesArgs) -> Result<()> {
    let contenders = contenders(args)?;
    say("starting PostgreSQL");
    let settings = PostgresOptions::version(PgVersion::Any).setting("max_wal_size", "10GB");
    let server = Postgres::start(&settings)?;
    make_tables(&server)?;
    let kafka = match args.without_kafka {
        true => None,
        false => Some(Broker::start(args.in_miniature)?),
    };
    let bench = Bench {
        args,
        bootstrap: kafka.as_ref().map(Broker::bootstrap).unwrap_or_default(),
        server: &server,
        debezium: Cell::new(None),
    };
    if let Some(rate) = args.rate.iter().max().filter(|_| !args.in_miniature) {
        for contender in contenders.iter().filter(|own| own.needs_warm_up()) {
            say(&format!("warming {} up", contender.name()));
            bench.measure(*contender, *rate, 0)?;
        }
    }
    let mut rates = Rates {
        machine: String::new(),
        versions: Versions::of(Some(&server))
            .kafka(!args.without_kafka)
            .node(!args.without_notify)
            .peers(if args.debezium {
                &[Peer::DebeziumConnect]
            } else {
                &[]
            })
            .list(),
        seconds: args.seconds,
        figures: Vec::new(),
    };
    for round in 1..=args.rounds {
        for rate in &args.rate {
            for contender in &contenders {
                let figure = bench
                    .measure(*contender, *rate, round)
                    .with_context(|| format!("{} at {rate} a second", contender.name()))?;
                say(&figure.line());
                rates.figures.push(figure);
            }
        }
    }
    rates.machine = machine::line();
    results::write(&args.out, &rates)?;
    plot::draw(&rates, &args.out.with_extension("svg"))?;
    println!("{}", rates.markdown());
    println!("all figures: {}", args.out.display());
    Ok(())
}

fn contenders(args: &RatesArgs) -> Result<Vec<Contender>> {
    let mut followers = vec![Follower::Stdout, Follower::WebSocket];
    if !args.without_notify {
        sources::install("notify")?;
        followers.push(Follower::Notify);
    }
    followers.push(Follower::Polling);
    let mut contenders = Vec::new();
    if !args.without_kafka {
        followers.push(Follower::Kafka);
        contenders.push(Contender::KafkaAlone);
    }
    contenders.extend(followers.into_iter().map(Contender::Follower));
    if args.debezium {
        Peer::DebeziumConnect.build()?;
        contenders.push(Contender::Debezium);
    }
    if !args.only.is_empty() {
        contenders.retain(|own| args.only.iter().any(|part| own.name().contains(part)));
        ensure!(
            !contenders.is_empty(),
            "no contender is called {:?}",
            args.only
        );
    }
    Ok(contenders)
}

/// What all measurements share.
struct Bench<'a> {
    args: &'a RatesArgs,
    server: &'a Postgres,
    bootstrap: String,
    /// One machine for all measurements, as what its first one compiles is not to count.
    debezium: Cell<Option<peer::Running>>,
}

/// One contender under one load.
struct Turn<'a> {
    bench: &'a Bench<'a>,
    contender: Contender,
    load: Load,
    arrivals: Arc<Arrivals>,
    url: String,
}

/// What runs while it is measured.
enum Runs {
    Follower(Running),
    Alone(Alone, Consumer),
    Debezium(Box<peer::Running>, Consumer),
}

/// Reads a topic until it is told to end.
struct Consumer {
    stop: Arc<AtomicBool>,
    reader: receive::Reader,
}

impl Consumer {
    /// Makes a topic, and reads it.
    fn start(bootstrap: &str, topic: &str, take: Take) -> Result<Self> {
        broker::create_topic(bootstrap, topic)?;
        let stop = Arc::default();
        let told = Arc::clone(&stop);
        let reader = receive::records(bootstrap, topic, broker::PARTITIONS, take, told)?;
        Ok(Self { stop, reader })
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.reader.join() {
            Ok(read) => read,
            Err(_) => bail!("the consumer panicked"),
        }
    }
}

impl Bench<'_> {
    fn measure(&self, contender: Contender, rate: u32, round: usize) -> Result<Latency> {
        let load = Load {
            rate,
            seconds: self.args.seconds,
            late_at_most: match self.args.in_miniature {
                true => PATIENCE,
                false => load::LATE_AT_MOST,
            },
        };
        let turn = Turn {
            bench: self,
            contender,
            load,
            arrivals: Arc::new(Arrivals::new(load.rows())?),
            url: self.server.url(),
        };
        let mut admin = Client::connect(&turn.url, NoTls)?;
        admin.batch_execute("truncate changes, notified, polled")?;
        let slot = format!("bench_{round}_{}", now_us());
        if contender.reads_a_slot() {
            let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
            admin.execute(create, &[&slot])?;
        }
        let figure = turn.measure(&slot, round)?;
        if contender.reads_a_slot() {
            drop_slot(&mut admin, &slot)?;
        }
        Ok(figure)
    }
}

impl Turn<'_> {
    fn measure(&self, slot: &str, round: usize) -> Result<Latency> {
        let mut runs = self.start(slot)?;
        self.wait_until_it_follows(&mut runs)?;
        let load = self.load;
        let start_us = now_us() + 50_000;
        let warm_up_us = u64::from(load.seconds) * 200_000;
        self.arrivals.count_from(start_us + warm_up_us);
        let source_cpu = || self.bench.server.pid().and_then(measure::cpu_with_children);
        let (source_before, client_before) = (source_cpu(), runs.cpu_s());
        let written = match &runs {
            Runs::Follower(_) | Runs::Debezium(..) => {
                load.insert(&self.url, self.contender.table(), start_us)?
            }
            Runs::Alone(alone, _) => alone.produce(load, start_us)?,
        };
        let last_due_us = start_us + load.last_due_us();
        let everything_came = self.wait_for_all(&mut runs, last_due_us)?;
        let used = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
        let source_cpu_s = used(source_before, source_cpu());
        let client_cpu_s = used(client_before, runs.cpu_s());
        let peak_memory_bytes = runs.peak_memory_bytes();
        self.end(runs)?;
        self.arrivals.check()?;
        let (delivered, rows) = (self.arrivals.rows(), load.rows());
        ensure!(
            everything_came || !self.bench.args.in_miniature,
            "{delivered} of {rows} rows have come"
        );
        let allowed = HELD_WITHIN + self.contender.interval();
        let late_us = self.arrivals.last_us().saturating_sub(last_due_us);
        let held = written && everything_came && u128::from(late_us) <= allowed.as_micros();
        let ages = self.arrivals.ages();
        Ok(Latency {
            contender: self.contender.name().to_owned(),
            rate: load.rate,
            round,
            held,
            rows,
            delivered,
            p50_us: held.then_some(ages.p50_us),
            p99_us: held.then_some(ages.p99_us),
            p999_us: held.then_some(ages.p999_us),
            max_us: held.then_some(ages.max_us),
            source_cpu_s: source_cpu_s.filter(|_| self.contender != Contender::KafkaAlone),
            client_cpu_s,
            peak_memory_bytes,
        })
    }

    fn start(&self, slot: &str) -> Result<Runs> {
        let arrivals = Arc::clone(&self.arrivals);
        let take: Take = Arc::new(move |event| arrivals.came(event, now_us()));
        let bootstrap = &self.bench.bootstrap;
        Ok(match self.contender {
            Contender::Follower(follower) => {
                let followed = Followed {
                    url: &self.url,
                    slot,
                    tables: &[self.contender.table()],
                    bootstrap,
                    changes: self.load.rows(),
                };
                Runs::Follower(follower.start(&followed, take)?)
            }
            Contender::KafkaAlone => {
                let consumer = Consumer::start(bootstrap, slot, take)?;
                Runs::Alone(Alone::new(bootstrap, slot)?, consumer)
            }
            Contender::Debezium => {
                let topic = format!("{slot}.public.{}", self.contender.table());
                let consumer = Consumer::start(bootstrap, &topic, take)?;
                let mut debezium = match self.bench.debezium.take() {
                    Some(debezium) => debezium,
                    None => Peer::DebeziumConnect.start(&self.url, bootstrap)?,
                };
                debezium.follow(slot)?;
                Runs::Debezium(Box::new(debezium), consumer)
            }
        })
    }

    /// Writes rows that don't count until the first of them has come.
    fn wait_until_it_follows(&self, runs: &mut Runs) -> Result<()> {
        let mut client = Client::connect(&self.url, NoTls)?;
        let insert = client.prepare(&load::insert(self.contender.table()))?;
        let since = Instant::now();
        while !self.arrivals.has_begun() {
            ensure!(since.elapsed() < PATIENCE, "it does not follow");
            match runs {
                Runs::Follower(running) => {
                    running.ensure_runs()?;
                    client.execute(&insert, &[&0_i64, &0_i64, &0_i64])?;
                }
                Runs::Debezium(..) => {
                    client.execute(&insert, &[&0_i64, &0_i64, &0_i64])?;
                }
                Runs::Alone(alone, _) => alone.send(0, 0)?,
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits for the rows that have not come yet, but no longer than a rate may take that is held, or that could
    /// be. Whether all came.
    fn wait_for_all(&self, runs: &mut Runs, last_due_us: u64) -> Result<bool> {
        let patience = match self.bench.args.in_miniature {
            true => PATIENCE,
            false => HELD_WITHIN * 2 + self.contender.interval(),
        };
        while self.arrivals.rows() < self.load.rows() {
            let waited_us = now_us().saturating_sub(last_due_us);
            if u128::from(waited_us) > patience.as_micros() {
                return Ok(false);
            }
            if let Runs::Follower(running) = runs {
                running.ensure_runs()?;
            }
            thread::sleep(LOOK);
        }
        Ok(true)
    }

    fn end(&self, runs: Runs) -> Result<()> {
        match runs {
            Runs::Follower(running) => running.end(),
            Runs::Alone(_, consumer) => consumer.end(),
            Runs::Debezium(mut debezium, consumer) => {
                debezium.stop()?;
                self.bench.debezium.set(Some(*debezium));
                consumer.end()
            }
        }
    }
}

impl Runs {
    fn cpu_s(&self) -> Option<f64> {
        match self {
            Self::Follower(running) => running.cpu_s(),
            Self::Alone(..) => None,
            Self::Debezium(debezium, _) => debezium.cpu_s(),
        }
    }

    fn peak_memory_bytes(&self) -> Option<u64> {
        match self {
            Self::Follower(running) => running.peak_memory_bytes(),
            Self::Alone(..) => None,
            Self::Debezium(debezium, _) => debezium.peak_memory_bytes(),
        }
    }
}

/// Drops a slot as soon as its walsender has gone.
pub(crate) fn drop_slot(admin: &mut Client, slot: &str) -> Result<()> {
    let since = Instant::now();
    let free = "select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_name = $1 and not active";
    while admin.query(free, &[&slot])?.is_empty() {
        ensure!(since.elapsed() < PATIENCE, "slot {slot} is never free");
        thread::sleep(LOOK);
    }
    Ok(())
}
