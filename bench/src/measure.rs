//! What a process cost, by the kernel's own accounts.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::{Client, NoTls};
use serde::Serialize;
use wait4::Wait4;

/// One drain.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// From the start of the process to its end, in seconds.
    pub(crate) wall_s: f64,
    /// User and system time of the client, in seconds.
    pub(crate) client_cpu_s: f64,
    /// User and system time of its walsender, in seconds.
    pub(crate) walsender_cpu_s: f64,
    /// The client's largest resident memory, in bytes.
    pub(crate) peak_memory_bytes: u64,
}

/// How often the walsender is looked at: it is gone when the client is, so its last moment is lost.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a command to its end and measures it.
pub(crate) fn run(mut command: Command, url: &str, slot: &str) -> Result<Figure> {
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = thread::spawn({
        let (stop, url, slot) = (Arc::clone(&stop), url.to_owned(), slot.to_owned());
        move || walsender_cpu(&url, &slot, &stop)
    });
    let start = Instant::now();
    let mut child: Child = command
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let used = child.wait4().context("wait for the contender")?;
    let wall_s = start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let walsender = watcher
        .join()
        .map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    ensure!(
        used.status.success(),
        "{command:?} ended with {}",
        used.status
    );
    Ok(Figure {
        wall_s,
        client_cpu_s: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        walsender_cpu_s: walsender,
        peak_memory_bytes: used.rusage.maxrss,
    })
}

/// Watches the walsender of a slot until it is gone, and returns its CPU time.
fn walsender_cpu(url: &str, slot: &str, stop: &AtomicBool) -> Result<f64> {
    let mut client = Client::connect(url, NoTls)?;
    let query = "select active_pid from pg_replication_slots where slot_name = $1";
    let mut pid = None;
    let mut cpu_s = 0.0;
    while !stop.load(Ordering::Relaxed) {
        if pid.is_none() {
            pid = client.query_one(query, &[&slot])?.get::<_, Option<i32>>(0);
        }
        if let Some(used) = pid.and_then(cpu_of) {
            cpu_s = used;
        }
        thread::sleep(LOOK);
    }
    Ok(cpu_s)
}

/// User and system time of a process so far; none where the system does not tell.
fn cpu_of(pid: i32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name in parentheses: state is field 3, utime 14, stime 15, in clock ticks.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    /// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that runs here.
    const TICKS_PER_SECOND: f64 = 100.0;
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

/// Resident memory of a process, in bytes; none where the system does not tell.
pub(crate) fn memory_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The largest resident memory that a process has had, in bytes; none where the system does not
/// tell.
pub(crate) fn peak_memory_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}
