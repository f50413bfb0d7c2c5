//! One stream of changes to many clients: Walgate's push, and beside it what most people build, a trigger
//! with NOTIFY and a server in Node.
//!
//! Each contender is measured alone, with clients in a process of their own, once in each round. The
//! clients count frames by their headers and look into those of a few for how old a row is.

pub(crate) mod client;
pub(crate) mod contender;
pub(crate) mod figures;
mod rows;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use crate::machine::Versions;
use crate::{machine, results, say, sources};
use contender::Contender;
use figures::{FanOut, Figures};
use rows::Rows;

/// Experiments that the rows are of, in turn; with filters each client follows one of them.
pub(crate) const EXPERIMENTS: usize = 10;

/// How a fan-out is measured.
#[derive(Args)]
pub(crate) struct FanOutArgs {
    /// How many clients, one run after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100, 1_000, 5_000])]
    pub(crate) clients: Vec<usize>,
    /// Rounds; each measures every contender with every number of clients
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Deliveries of a backlog, at most; NOTIFY gets a tenth
    #[arg(long, default_value_t = 20_000_000)]
    pub(crate) deliveries: usize,
    /// How long one event at a time is measured
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) seconds: u64,
    /// Leave trigger and NOTIFY out
    #[arg(long)]
    pub(crate) without_notify: bool,
    /// Leave clients with filters out
    #[arg(long)]
    pub(crate) without_filters: bool,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/bench/fan-out.json")]
    pub(crate) out: PathBuf,
}

/// Measures, and reports.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn run(args: &FanOutArgs) -> Result<()> {
    let most = args.clients.iter().copied().max().unwrap_or_default();
    allow_files(most)?;
    let mut contenders = vec![Contender::Walgate];
    if !args.without_notify {
        sources::install("notify")?;
        contenders.push(Contender::Notify);
    }
    say("starting PostgreSQL");
    let settings = PostgresOptions::version(PgVersion::Any).setting("max_wal_size", "10GB");
    let server = Postgres::start(&settings)?;
    let rows = Rows::prepare(&server)?;
    let mut all: Vec<Figures> = Vec::new();
    for round in 1..=args.rounds {
        for clients in &args.clients {
            for filtered in [false, true] {
                if filtered && (args.without_filters || *clients < EXPERIMENTS) {
                    continue;
                }
                for contender in &contenders {
                    let plan = Plan {
                        clients: *clients,
                        filtered,
                        deliveries: args.deliveries,
                        seconds: args.seconds,
                        round,
                    };
                    let figures = plan
                        .measure(*contender, &rows)
                        .with_context(|| format!("{} with {clients}", contender.name()))?;
                    say(&figures.line());
                    all.push(figures);
                }
            }
        }
    }
    let fan_out = FanOut {
        machine: machine::line(),
        versions: Versions::of(Some(&server))
            .node(!args.without_notify)
            .list(),
        figures: all,
    };
    results::write(&args.out, &fan_out)?;
    println!("{}", fan_out.markdown());
    println!("all figures: {}", args.out.display());
    Ok(())
}

/// One measurement.
struct Plan {
    clients: usize,
    filtered: bool,
    deliveries: usize,
    seconds: u64,
    round: usize,
}

impl Plan {
    fn measure(&self, contender: Contender, rows: &Rows<'_>) -> Result<Figures> {
        let server = contender.start(rows)?;
        let mut clients = client::Clients::start(&server, self.clients, self.filtered)?;
        let mut rows = rows.connect(contender)?;
        let memory = clients.all()?;
        // So many clients get each row.
        let readers = match self.filtered {
            true => self.clients / EXPERIMENTS,
            false => self.clients,
        };
        let mut measure = |what: &str, goal: usize, load: &mut dyn FnMut() -> Result<()>| {
            let before = server.cpu_s()?;
            clients.expect(goal, what != "backlog")?;
            load()?;
            let seen = clients.seen().with_context(|| what.to_owned())?;
            Ok::<_, anyhow::Error>((seen, server.cpu_s()? - before))
        };
        // Everything is compiled, and every buffer is there.
        measure("warm-up", 50 * readers, &mut || rows.steady(50, 5_000))?;
        let burst = contender.burst(self.deliveries, readers);
        let backlog = measure("backlog", burst * readers, &mut || rows.burst(burst))?;
        // One each 3 ms is more than what a server of 2 cores gives to 1,000 one by one.
        let count = to_tens(self.seconds as usize * 333);
        let single = measure("one at a time", count * readers, &mut || {
            rows.steady(count, 3_000)
        })?;
        // Slow enough that nothing waits for the row before it.
        let pause = 5_000 + self.clients as u64 * 20;
        let count = to_tens((self.seconds * 1_000_000 / pause) as usize);
        let calm = measure("calm", count * readers, &mut || rows.steady(count, pause))?;
        clients.end()?;
        server.end()?;
        Ok(Figures {
            contender: contender.name().to_owned(),
            round: self.round,
            clients: self.clients,
            filtered: self.filtered,
            idle_bytes_a_client: memory,
            backlog: backlog.into(),
            one_at_a_time: single.into(),
            calm: calm.into(),
        })
    }
}

/// Each experiment gets the same number of rows.
const fn to_tens(count: usize) -> usize {
    let tens = count / EXPERIMENTS;
    if tens == 0 {
        EXPERIMENTS
    } else {
        tens * EXPERIMENTS
    }
}

/// Sees to it that this process, and those that it starts, may have a socket for each client.
fn allow_files(clients: usize) -> Result<()> {
    let wanted = clients as u64 + 500;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    ensure!(
        limit.maximum.is_none_or(|maximum| maximum >= wanted),
        "{clients} clients need {wanted} open files: raise the hard limit, or use --clients"
    );
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raise the number of open files")
}
