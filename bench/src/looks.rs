//! What a look at the slots costs the server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use walgate_connection::{ConnectionConfig, Environment};
use walgate_slot::Watcher;
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use crate::say;

/// As many slots as a server allows by default.
const SLOTS: usize = 10;

/// The kernel counts in hundredths of a second.
const LOOKS: u32 = 1000;

/// Looks, and prints one line.
#[expect(clippy::print_stdout, reason = "the report is the program's output")]
pub(crate) fn run() -> Result<()> {
    say("measuring what a look at the slots costs");
    let options = PostgresOptions::version(PgVersion::Any);
    let server = Postgres::start(&options)?;
    for slot in 0..SLOTS {
        server.sql(&format!(
            "select pg_create_logical_replication_slot('s{slot}', 'pgoutput')"
        ))?;
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let (cpu, time) = runtime.block_on(measure(&server.url()))?;
    let each = |all: Duration| (all / LOOKS).as_micros();
    println!(
        "a look at {SLOTS} slots: {} µs of CPU of the backend, {} µs from question to answer",
        each(cpu),
        each(time)
    );
    Ok(())
}

async fn measure(url: &str) -> Result<(Duration, Duration)> {
    let environment = Environment::from_pairs(std::iter::empty::<(&str, &str)>());
    let config = ConnectionConfig::parse(url, &environment)?;
    let watcher = Watcher::connect(&config).await?;
    for _ in 0..20 {
        watcher.look().await?;
    }
    let pid = watcher.backend_pid();
    let (before, began) = (cpu(pid)?, Instant::now());
    for _ in 0..LOOKS {
        watcher.look().await?;
    }
    let took = began.elapsed();
    Ok((cpu(pid)?.saturating_sub(before), took))
}

/// User and system time of a process: fields 14 and 15 of `/proc/PID/stat`, in ticks of 10 ms.
fn cpu(pid: i32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<u64>);
    let ticks = ticks.sum::<Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}
