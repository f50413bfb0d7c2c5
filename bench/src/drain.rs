//! Drains backlogs with several programs, in turn, and compares them.
//!
//! Everything that counts is a ratio within one run: each round drains the same log once with each
//! contender, one after the other, and the ratios are those of a round. CPU-seconds are of the
//! whole process, as the kernel counts them; those of the walsender are read while it runs.

pub(crate) mod check;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use walgate_throwaway::{PgTls, PgVersion, Postgres, PostgresOptions};

use crate::contender::{Contender, Run, Variant, has_receiver};
use crate::kafka::Broker;
use crate::machine::Versions;
use crate::markdown;
use crate::peer::{Peer, Running};
use crate::results::{Drained, Drains};
use crate::work::{self, Work};
use crate::{machine, results, say};

/// Compares drains of backlogs.
#[derive(Args)]
pub(crate) struct DrainArgs {
    /// What is drained; may be repeated
    #[arg(long, value_enum, default_values_t = [Work::Orders])]
    pub(crate) work: Vec<Work>,
    /// How the server is reached; may be repeated. Kafka and the programs of others only by TCP
    #[arg(long, value_enum, default_values_t = [Way::Tcp])]
    pub(crate) way: Vec<Way>,
    /// Rows of nine columns that are inserted; other works take as many as take about as long
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) rows: u32,
    /// Rounds; each drains the backlog once with each contender
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: usize,
    /// Leave Kafka out
    #[arg(long)]
    pub(crate) without_kafka: bool,
    /// Programs of others that join; may be repeated
    #[arg(long, value_enum)]
    pub(crate) peer: Vec<Peer>,
    /// Another build or other settings of `walgate run` to compare with:
    /// `NAME@PROGRAM: SETTINGS`, such as `large: buffer = "64MiB"` or `old@/tmp/walgate`
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Vec<Variant>,
    /// Where the figures go as JSON
    #[arg(long, default_value = "target/bench/drain.json")]
    pub(crate) out: PathBuf,
    /// With a broker that others use as well
    #[arg(skip)]
    pub(crate) in_miniature: bool,
}

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// TCP on the loopback
    Tcp,
    /// TLS over TCP, as managed servers demand
    Tls,
    /// A Unix socket
    Unix,
}

impl Way {
    fn url(self, server: &Postgres) -> String {
        match self {
            Self::Tcp => format!("{}?sslmode=disable", server.url()),
            Self::Tls => format!("{}?sslmode=require", server.url()),
            Self::Unix => {
                let folder = server.socket_dir();
                let (folder, port) = (folder.display(), server.port());
                format!("postgres://postgres@/postgres?host={folder}&port={port}")
            }
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Tcp => "",
            Self::Tls => " over TLS",
            Self::Unix => " over a Unix socket",
        }
    }
}

/// Drains, and reports.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn run(args: &DrainArgs) -> Result<()> {
    for peer in &args.peer {
        peer.build()?;
    }
    let kafka = kafka(args)?;
    let mut drains = Drains {
        machine: String::new(),
        versions: Vec::new(),
        works: Vec::new(),
    };
    for work in &args.work {
        for way in &args.way {
            let (drained, versions) = drain(args, *work, *way, kafka.as_ref())
                .with_context(|| format!("{}{}", work.name(), way.suffix()))?;
            println!("{}", markdown::drained(&drained));
            drains.works.push(drained);
            drains.machine = machine::line();
            drains.versions = versions;
            results::write(&args.out, &drains)?;
        }
    }
    println!("{}", drains.machine);
    println!("all figures: {}", args.out.display());
    Ok(())
}

fn kafka(args: &DrainArgs) -> Result<Option<Broker>> {
    if args.without_kafka || !args.way.contains(&Way::Tcp) {
        return Ok(None);
    }
    Broker::start(args.in_miniature).map(Some)
}

fn server() -> Result<Postgres> {
    let settings = PostgresOptions::version(PgVersion::Any)
        .setting("max_replication_slots", "200")
        .setting("max_wal_senders", "50")
        .setting("max_wal_size", "20GB")
        .setting("wal_sender_timeout", "0")
        .tls(PgTls::default());
    Ok(Postgres::start(&settings)?)
}

fn contenders(args: &DrainArgs, way: Way, has_kafka: bool) -> Vec<Contender> {
    let mut all = Vec::new();
    if has_receiver() {
        all.push(Contender::RecvLogical);
    }
    all.extend([Contender::Bare, Contender::BareBinary]);
    if way != Way::Tls {
        all.push(Contender::Pgwire);
    }
    all.extend([Contender::Tail, Contender::Binary]);
    if way == Way::Tcp {
        if has_kafka {
            all.extend([Contender::Producer, Contender::Kafka]);
            all.extend(args.variant.iter().cloned().map(Contender::Variant));
        }
        let peers = args.peer.iter().copied();
        let peers = peers.filter(|peer| has_kafka || !peer.needs_kafka());
        all.extend(peers.map(Contender::Peer));
    }
    all
}

/// One backlog on a server of its own, drained by all, round by round; and the versions of what ran.
fn drain(
    args: &DrainArgs,
    work: Work,
    way: Way,
    kafka: Option<&Broker>,
) -> Result<(Drained, Vec<String>)> {
    let name = format!("{}{}", work.name(), way.suffix());
    let server = server()?;
    let contenders = contenders(args, way, kafka.is_some());
    let rows = work.rows(args.rows);
    say(&format!("{name}: writing {rows} rows"));
    // One more round than counts, for those that are slow when they have just started; two for the checks.
    let slots = (args.rounds + 1) * contenders.len() + 2;
    let backlog = work.write(&server.url(), rows, slots)?;
    let (admin, url) = (server.url(), way.url(&server));
    let run = |number: usize| Run {
        url: &url,
        admin: &admin,
        slot: work::slot_name(number),
        backlog: &backlog,
        bootstrap: kafka.map(Broker::bootstrap).unwrap_or_default(),
        printed: None,
    };
    let (expected, printed) = check::tailed(&run(slots - 1))?;
    let run = |number: usize| Run {
        printed: Some(printed),
        ..run(number)
    };
    check::binary(&run(slots - 2), expected)?;
    let mut running: Vec<Option<Running>> = contenders.iter().map(|_| None).collect();
    for (place, contender) in contenders.iter().enumerate() {
        if contender.needs_warm_up() {
            say(&format!("{name}: warming {} up", contender.name()));
            let slot = args.rounds * contenders.len() + place;
            contender.drain(&run(slot), &mut running[place])?;
            if *contender == Contender::Kafka {
                check::stored(&run(slot), expected)?;
            }
        }
    }
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let mut figures = Vec::new();
        for (place, contender) in contenders.iter().enumerate() {
            let slot = round * contenders.len() + place;
            let figure = contender
                .drain(&run(slot), &mut running[place])
                .with_context(|| contender.name().to_owned())?;
            check::confirmed(contender, &run(slot))?;
            say(&format!(
                "{name}: round {}: {:24} {:6.2} s, {:5.2} CPU-s",
                round + 1,
                contender.name(),
                figure.wall_s,
                figure.client_cpu_s
            ));
            figures.push(figure);
        }
        check::counted(&contenders, &figures, backlog.changes)?;
        rounds.push(figures);
    }
    let versions = Versions::of(Some(&server))
        .kafka(kafka.is_some())
        .peers(&args.peer);
    let drained = Drained {
        work: name,
        changes: backlog.changes,
        wal_bytes: backlog.wal_bytes,
        contenders: contenders.iter().map(|own| own.name().to_owned()).collect(),
        rounds,
    };
    Ok((drained, versions.list()))
}
