//! Measures Walgate on real servers, side by side with what stands for the best possible.

mod all;
mod bare;
mod bars;
mod contender;
mod cost;
mod drain;
mod fan_out;
mod goals;
mod instructions;
mod kafka;
mod live;
mod looks;
mod machine;
mod markdown;
mod measure;
mod outage;
mod peer;
mod pgwire;
mod produce;
mod quick;
mod rates;
mod results;
mod slot_args;
mod soak;
mod sources;
mod statistics;
mod work;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measure Walgate on real servers. Without a command: drains.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    drain: drain::DrainArgs,
    /// Run each kind in miniature, and check what it delivers: under three minutes, and no figures
    #[arg(long, exclusive = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum What {
    /// Take Kafka away under a steady load, with the journal on disk and without
    Outage(outage::OutageArgs),
    /// Give one stream of changes to many clients, beside a trigger with NOTIFY
    FanOut(fan_out::FanOutArgs),
    /// Measure everything that is not measured yet, and make bench/RESULTS.md
    All(all::AllArgs),
    /// Measure how old a change is when it arrives, at steady rates
    Rates(rates::RatesArgs),
    /// Measure what following costs the source, beside pgbench
    Cost(cost::CostArgs),
    /// Poll tables every two seconds; what steady rates are compared with
    #[command(hide = true)]
    Poll(live::poll::PollArgs),
    #[command(hide = true)]
    FanOutClient(fan_out::client::ClientArgs),
    /// Read a slot as cheaply as possible, and count: the limit of what a receiver can do
    Bare(bare::BareArgs),
    /// Read a slot with the client of the pgwire-replication crate, and count
    Pgwire(pgwire::PgwireArgs),
    #[command(hide = true)]
    Produce(produce::ProduceArgs),
    /// Let it run for an hour under load, and kill it
    Soak(soak::SoakArgs),
    /// Make bench/RESULTS.md from bench/results
    Results(markdown::ResultsArgs),
    /// Tell what a look at the slots costs the server; a run without a command tells it too
    Looks,
}

fn main() -> Result<()> {
    let args = Args::parse();
    walgate_tests::unwatched();
    match args.what {
        None if args.quick => quick::run(),
        None => {
            contender::check()?;
            drain::run(&args.drain)?;
            looks::run()
        }
        Some(What::FanOut(args)) => fan_out::run(&args),
        Some(What::All(args)) => all::run(&args),
        Some(What::Rates(args)) => rates::run(&args),
        Some(What::Cost(args)) => cost::run(&args),
        Some(What::Soak(args)) => soak::run(&args),
        Some(What::Poll(args)) => live::poll::run(&args),
        Some(What::FanOutClient(args)) => fan_out::client::run(&args),
        Some(What::Bare(args)) => bare::run(&args),
        Some(What::Pgwire(args)) => pgwire::run(&args),
        Some(What::Produce(args)) => produce::run(&args),
        Some(What::Results(args)) => markdown::run(&args),
        Some(What::Looks) => looks::run(),
        Some(What::Outage(args)) => {
            contender::check()?;
            outage::run(&args)
        }
    }
}

/// Progress, for whoever waits.
#[expect(clippy::print_stderr, reason = "a program for the terminal")]
pub(crate) fn say(text: &str) {
    eprintln!("bench: {text}");
}
