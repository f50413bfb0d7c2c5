//! Drains a slot up to the present end of the log and says how fast it was: the bare source,
//! without journal, encoder or sink.
//!
//! `drain URL SLOT PUBLICATION [peek]`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Instant;

use anyhow::{Context, Result, bail};
use walgate_connection::{ConnectionConfig, Environment};
use walgate_core::{Feed, FrameKind, Lsn, Source, Watermark};
use walgate_replication::{PostgresSource, SlotConfig, SlotMode, SourceConfig, StopAtLsn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(slot), Some(publication)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        bail!("usage: drain URL SLOT PUBLICATION [peek]");
    };
    let connection = ConnectionConfig::parse(&url, &Environment::process())?;
    let slot = SlotConfig {
        name: slot,
        mode: SlotMode::CreateIfMissing,
        failover: true,
    };
    let mut config = SourceConfig::new(connection, slot, vec![publication]);
    config.stop_at = Some(StopAtLsn::Now);
    config.peek = arguments.next().is_some();
    config.wait_at_start = false;
    let confirmed = Watermark::new(Lsn::ZERO);
    let started = PostgresSource::start(config, None, confirmed.clone()).await?;
    println!(
        "{:?} from {} on {}",
        started.identity, started.resume, started.server_version
    );
    let mut source = started.source;
    let began = Instant::now();
    let (mut rows, mut transactions, mut runs, mut pinned) = (0_u64, 0_u64, 0_u64, 0_u64);
    loop {
        match source.next().await? {
            Feed::Frames(frames) => {
                runs += 1;
                pinned += frames.pinned as u64;
                for frame in &frames.frames {
                    match frame.kind {
                        FrameKind::Insert | FrameKind::Update | FrameKind::Delete => rows += 1,
                        FrameKind::Commit => transactions += 1,
                        _ => {}
                    }
                }
                if let Some(progress) = frames.progress {
                    confirmed.advance(progress);
                }
            }
            Feed::Streamed(streamed) => println!("{:?}", streamed.xid()),
            Feed::Gap(gap) => println!("{gap:?}"),
            Feed::End => break,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let counters = source.monitor().counters();
    source.close().await?;
    let cpu = cpu_seconds()?;
    println!(
        "{rows} rows in {transactions} transactions, {seconds:.2} s: {:.0} rows/s, {cpu:.2} CPU-s, \
         {} reads, {runs} runs, {:.1} MiB received, {:.1} MiB pinned",
        rows as f64 / seconds,
        counters.reads,
        counters.bytes as f64 / 1048576.0,
        pinned as f64 / 1048576.0
    );
    Ok(())
}

/// User and system time of this process so far, in seconds; Linux only.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("no process name")?;
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
