//! Drains one backlog with several programs, in turn, and compares them.
//!
//! Everything that counts is a ratio within one run: each round drains the same log once with each
//! contender, one after the other, and the ratios are those of a round. CPU-seconds are of the
//! whole process, as the kernel counts them; those of the walsender are read while it runs.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use walgate_throwaway::{Kafka, KafkaOptions, PgVersion, Postgres, PostgresOptions};

use crate::contender::{self, Contender, Variant};
use crate::{dataset, report, say};

/// Compares the drain of a backlog: pg_recvlogical, walgate tail, walgate run into Kafka.
#[derive(Args)]
pub(crate) struct DrainArgs {
    /// Rows that are inserted; a fifth as many are updated, a tenth as many deleted.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u32,
    /// Rounds; each drains the backlog once with each contender.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Leave Kafka out.
    #[arg(long)]
    without_kafka: bool,
    /// Another build or other settings of `walgate run` to compare with:
    /// `NAME@PROGRAM: SETTINGS`, such as `large: buffer = "64MiB"` or `old@/tmp/walgate`.
    #[arg(long, value_name = "VARIANT")]
    variant: Vec<Variant>,
    /// Where the figures go as JSON.
    #[arg(long, default_value = "target/bench/drain.json")]
    out: PathBuf,
}

/// Drains, and reports.
pub(crate) fn run(args: &DrainArgs) -> Result<()> {
    let settings = PostgresOptions::version(PgVersion::Any)
        .setting("max_replication_slots", "100")
        .setting("max_wal_size", "20GB")
        .setting("wal_sender_timeout", "0");
    say("starting PostgreSQL");
    let server = Postgres::start(&settings)?;
    let kafka = if args.without_kafka {
        None
    } else {
        say("starting Kafka");
        let options = KafkaOptions {
            optimised: true,
            ..KafkaOptions::default()
        };
        Some(Kafka::start(&options)?)
    };
    let mut contenders = vec![Contender::RecvLogical, Contender::Tail];
    if kafka.is_some() {
        contenders.push(Contender::Kafka);
        contenders.extend(args.variant.iter().cloned().map(Contender::Variant));
    }
    say(&format!("writing {} rows", args.rows));
    // One more than the rounds need: a broker that has just started is a slow one.
    let warm_up = args.rounds * contenders.len();
    let backlog = dataset::write(&server.url(), args.rows, warm_up + 1)?;
    if let Some(kafka) = &kafka {
        say("warming Kafka up");
        let run = contender::Run {
            server: &server,
            slot: dataset::slot_name(warm_up),
            backlog: &backlog,
            bootstrap: kafka.bootstrap(),
        };
        Contender::Kafka.drain(&run).context("warm-up")?;
    }
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let mut figures = Vec::new();
        for (place, contender) in contenders.iter().enumerate() {
            let slot = dataset::slot_name(round * contenders.len() + place);
            let bootstrap = kafka.as_ref().map(Kafka::bootstrap).unwrap_or_default();
            let run = contender::Run {
                server: &server,
                slot,
                backlog: &backlog,
                bootstrap,
            };
            let figure = contender
                .drain(&run)
                .with_context(|| contender.name().to_owned())?;
            say(&format!(
                "round {}: {}",
                round + 1,
                report::line(contender, &figure, &backlog)
            ));
            figures.push(figure);
        }
        rounds.push(figures);
    }
    report::finish(&contenders, &rounds, &backlog, &args.out)
}
