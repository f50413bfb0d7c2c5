//! Measures Walgate on real servers, side by side with what stands for the best possible.

mod contender;
mod dataset;
mod drain;
mod looks;
mod machine;
mod measure;
mod outage;
mod report;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measure Walgate on real servers. Without a command: drains.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    drain: drain::DrainArgs,
}

#[derive(Subcommand)]
enum What {
    /// Take Kafka away under a steady load, with the journal on disk and without
    Outage(outage::OutageArgs),
    /// Tell what a look at the slots costs the server; a run without a command tells it too
    Looks,
}

fn main() -> Result<()> {
    let args = Args::parse();
    contender::check()?;
    match args.what {
        None => {
            drain::run(&args.drain)?;
            looks::run()
        }
        Some(What::Looks) => looks::run(),
        Some(What::Outage(args)) => outage::run(&args),
    }
}

/// Progress, for whoever waits.
#[expect(clippy::print_stderr, reason = "a program for the terminal")]
pub(crate) fn say(text: &str) {
    eprintln!("bench: {text}");
}
