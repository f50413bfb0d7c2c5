//! What following costs the source: CPU of all of PostgreSQL for each transaction of pgbench at half of its
//! maximum rate, with nobody who follows, with the least that a receiver can do, and with each contender.

pub(crate) mod figures;
mod pgbench;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use postgres::{Client, NoTls};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use crate::live::follower::{Followed, Follower, Running};
use crate::live::now_us;
use crate::live::receive::Take;
use crate::machine::Versions;
use crate::peer::{self, Peer};
use crate::rates::drop_slot;
use crate::{machine, measure, results, say, sources};
use figures::{Cost, Costs, NOBODY};
use pgbench::Pgbench;

/// How the cost on the source is measured.
#[derive(Args)]
pub(crate) struct CostArgs {
    /// Transactions of each measurement
    #[arg(long, default_value_t = 20_000)]
    pub(crate) transactions: u32,
    /// pgbench's scale: so many times 100,000 accounts
    #[arg(long, default_value_t = 10)]
    pub(crate) scale: u32,
    /// Transactions a second; without it half of what pgbench reaches
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Rounds; each measures every contender
    #[arg(long, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// Let Debezium join
    #[arg(long)]
    pub(crate) debezium: bool,
    /// Leave trigger and NOTIFY out
    #[arg(long)]
    pub(crate) without_notify: bool,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/bench/cost.json")]
    pub(crate) out: PathBuf,
}

/// Only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between looks at what has come.
const LOOK: Duration = Duration::from_millis(20);

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Nobody,
    Follower(Follower),
    Debezium,
}

impl Contender {
    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => NOBODY,
            Self::Follower(follower) => follower.name(),
            Self::Debezium => Peer::Debezium.name(),
        }
    }

    /// Triggers and columns are there for those who need them, and for no other.
    const fn database(self) -> &'static str {
        match self {
            Self::Follower(Follower::Notify) => "notified",
            Self::Follower(Follower::Polling) => "polled",
            _ => "plain",
        }
    }

    const fn reads_a_slot(self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Follower(follower) => follower.reads_a_slot(),
            Self::Debezium => true,
        }
    }
}

/// Whether what it needs is installed.
pub(crate) fn is_possible() -> bool {
    Pgbench::find().is_ok()
}

/// Measures, and reports.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn run(args: &CostArgs) -> Result<()> {
    let pgbench = Pgbench::find()?;
    let contenders = contenders(args)?;
    say("starting PostgreSQL");
    // Nothing of PostgreSQL's own works in one measurement and not in the next.
    let settings = PostgresOptions::version(PgVersion::Any)
        .setting("max_wal_size", "20GB")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off");
    let server = Postgres::start(&settings)?;
    for database in ["plain", "notified", "polled"] {
        server.sql(&format!("create database {database}"))?;
        let url = server.url_of("postgres", database);
        pgbench.initialise(&url, args.scale)?;
        Client::connect(&url, NoTls)?.batch_execute(&pgbench::schema(database))?;
    }
    let rate = match args.rate {
        Some(rate) => rate,
        None => {
            say("measuring how fast pgbench is");
            pgbench.most(&server.url_of("postgres", "plain"))? / 2
        }
    };
    let bench = Bench {
        args,
        pgbench,
        server: &server,
        rate: rate.max(1),
    };
    let mut costs = Costs {
        machine: String::new(),
        versions: Versions::of(Some(&server))
            .node(!args.without_notify)
            .peers(if args.debezium {
                &[Peer::Debezium]
            } else {
                &[]
            })
            .list(),
        rate: bench.rate,
        scale: args.scale,
        figures: Vec::new(),
    };
    for contender in contenders.iter().filter(|own| **own == Contender::Debezium) {
        say("warming Debezium up");
        bench.measure(*contender, 0)?;
    }
    for round in 1..=args.rounds {
        for contender in &contenders {
            let cost = bench
                .measure(*contender, round)
                .with_context(|| contender.name().to_owned())?;
            say(&cost.line());
            costs.figures.push(cost);
        }
    }
    costs.machine = machine::line();
    results::write(&args.out, &costs)?;
    println!("{}", costs.markdown());
    println!("all figures: {}", args.out.display());
    Ok(())
}

fn contenders(args: &CostArgs) -> Result<Vec<Contender>> {
    let mut contenders = vec![Contender::Nobody];
    contenders.extend([Follower::Bare, Follower::Stdout].map(Contender::Follower));
    if !args.without_notify {
        sources::install("notify")?;
        contenders.push(Contender::Follower(Follower::Notify));
    }
    contenders.push(Contender::Follower(Follower::Polling));
    if args.debezium {
        Peer::Debezium.build()?;
        contenders.push(Contender::Debezium);
    }
    Ok(contenders)
}

/// What all measurements share.
struct Bench<'a> {
    args: &'a CostArgs,
    pgbench: Pgbench,
    server: &'a Postgres,
    rate: u32,
}

/// What runs while it is measured.
enum Runs {
    Nobody,
    Follower(Running, Arc<AtomicU64>),
    Peer(peer::Running),
}

impl Bench<'_> {
    fn measure(&self, contender: Contender, round: usize) -> Result<Cost> {
        let url = self.server.url_of("postgres", contender.database());
        let mut admin = Client::connect(&url, NoTls)?;
        // Each by itself: VACUUM takes no transaction around it.
        for statement in [
            "truncate pgbench_history",
            "vacuum pgbench_branches, pgbench_tellers, pgbench_accounts",
            "checkpoint",
        ] {
            admin.batch_execute(statement)?;
        }
        let slot = format!("bench_{round}_{}", now_us());
        if contender.reads_a_slot() {
            let create = "select pg_create_logical_replication_slot($1, 'pgoutput')";
            admin.execute(create, &[&slot])?;
        }
        let transactions = self.pgbench.rounded(self.args.transactions);
        let changes = u64::from(transactions) * pgbench::CHANGES;
        let mut runs = start(contender, &url, &slot, changes)?;
        wait_until_it_follows(contender, &mut runs, &mut admin, &slot)?;
        let source_cpu = || self.server.pid().and_then(measure::cpu_with_children);
        let source_before = source_cpu().context("the system tells no CPU time")?;
        let client_before = runs.cpu_s();
        self.pgbench.run(&url, transactions, self.rate)?;
        let end: String = admin
            .query_one("select pg_current_wal_lsn()::text", &[])?
            .get(0);
        let delivered = runs.wait_for_all(contender, transactions)?;
        wait_until_sent(contender, &mut admin, &slot, &end)?;
        let source_cpu_s = source_cpu().context("the server has ended")? - source_before;
        let client_cpu_s = runs
            .cpu_s()
            .zip(client_before)
            .map(|(after, before)| after - before);
        let peak_memory_bytes = runs.peak_memory_bytes();
        runs.end()?;
        if contender.reads_a_slot() {
            drop_slot(&mut admin, &slot)?;
        }
        Ok(Cost {
            contender: contender.name().to_owned(),
            round,
            transactions,
            delivered,
            source_cpu_s,
            client_cpu_s,
            peak_memory_bytes,
        })
    }
}

fn start(contender: Contender, url: &str, slot: &str, changes: u64) -> Result<Runs> {
    let follower = match contender {
        Contender::Nobody => return Ok(Runs::Nobody),
        Contender::Debezium => {
            let mut peer = Peer::Debezium.start(url, "")?;
            peer.begin(slot, changes)?;
            return Ok(Runs::Peer(peer));
        }
        Contender::Follower(follower) => follower,
    };
    let count = Arc::new(AtomicU64::new(0));
    let take: Take = {
        let count = Arc::clone(&count);
        Arc::new(move |event| {
            count.fetch_add(pgbench::counts(follower, event), Ordering::Relaxed);
        })
    };
    let followed = Followed {
        url,
        slot,
        tables: &pgbench::TABLES,
        bootstrap: "",
        changes,
    };
    Ok(Runs::Follower(follower.start(&followed, take)?, count))
}

/// Waits until a contender has come to where it only has to wait.
fn wait_until_it_follows(
    contender: Contender,
    runs: &mut Runs,
    admin: &mut Client,
    slot: &str,
) -> Result<()> {
    let listens = "select count(*) > 0 from pg_stat_activity where datname = current_database()
        and pid <> pg_backend_pid() and (query = 'listen moves' or query like '%pg_snapshot_xmin%')";
    let active = "select active from pg_replication_slots where slot_name = $1";
    let since = Instant::now();
    loop {
        let follows: bool = match contender {
            Contender::Nobody => true,
            own if own.reads_a_slot() => admin.query_one(active, &[&slot])?.get(0),
            _ => admin.query_one(listens, &[])?.get(0),
        };
        if follows {
            return Ok(());
        }
        ensure!(since.elapsed() < PATIENCE, "it does not follow");
        if let Runs::Follower(running, _) = runs {
            running.ensure_runs()?;
        }
        thread::sleep(LOOK);
    }
}

/// Waits until the server has sent a slot everything: until then it has work that counts.
fn wait_until_sent(contender: Contender, admin: &mut Client, slot: &str, end: &str) -> Result<()> {
    // These end with the last change, so that the server has nothing more to do for them.
    let ends = matches!(
        contender,
        Contender::Follower(Follower::Bare) | Contender::Debezium
    );
    if !contender.reads_a_slot() || ends {
        return Ok(());
    }
    let sent = "select coalesce(bool_and(sent_lsn >= $2::text::pg_lsn), false)
        from pg_stat_replication join pg_replication_slots on active_pid = pid where slot_name = $1";
    let since = Instant::now();
    while !admin.query_one(sent, &[&slot, &end])?.get::<_, bool>(0) {
        ensure!(since.elapsed() < PATIENCE, "the server does not send {end}");
        thread::sleep(LOOK);
    }
    Ok(())
}

impl Runs {
    fn cpu_s(&self) -> Option<f64> {
        match self {
            Self::Nobody => None,
            Self::Follower(running, _) => running.cpu_s(),
            Self::Peer(peer) => peer.cpu_s(),
        }
    }

    fn peak_memory_bytes(&self) -> Option<u64> {
        match self {
            Self::Nobody => None,
            Self::Follower(running, _) => running.peak_memory_bytes(),
            Self::Peer(peer) => peer.peak_memory_bytes(),
        }
    }

    /// Waits for everything that a contender has to hand over, and fails when it hands over more. Returns how
    /// much that was.
    fn wait_for_all(&mut self, contender: Contender, transactions: u32) -> Result<u64> {
        let (running, count) = match self {
            Self::Nobody => return Ok(0),
            Self::Peer(peer) => return peer.done(),
            Self::Follower(running, count) => (running, count),
        };
        let Contender::Follower(follower) = contender else {
            return Ok(0);
        };
        let expected = pgbench::expected(follower, transactions);
        let since = Instant::now();
        loop {
            let delivered = count.load(Ordering::Relaxed);
            ensure!(
                delivered <= expected,
                "{delivered} changes have come, more than {expected}"
            );
            if delivered == expected {
                return Ok(delivered);
            }
            ensure!(
                since.elapsed() < PATIENCE,
                "{delivered} of {expected} changes have come"
            );
            if follower != Follower::Bare {
                running.ensure_runs()?;
            }
            thread::sleep(LOOK);
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Follower(running, _) => running.end(),
            Self::Nobody | Self::Peer(_) => Ok(()),
        }
    }
}
