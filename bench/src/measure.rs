//! What a process cost, by the kernel's own accounts.

use std::io::Read;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::{Client, NoTls};
use serde::{Deserialize, Serialize};
use wait4::Wait4;

/// One drain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// From the start of the process to its end, in seconds.
    pub(crate) wall_s: f64,
    /// User and system time of the client, in seconds.
    pub(crate) client_cpu_s: f64,
    /// User and system time of its walsender, in seconds.
    pub(crate) walsender_cpu_s: f64,
    /// The client's largest resident memory, in bytes.
    pub(crate) peak_memory_bytes: u64,
    /// What the client says that it has counted: messages of a receiver of ours, changes of a program of
    /// others; none of one that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) counted: Option<u64>,
}

/// How often a process is looked at. It is gone in the end, so its last moment is lost.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a command to its end and measures it. What is piped of it is read in the end, and may only be a line:
/// `done COUNT …`.
pub(crate) fn run(mut command: Command, url: &str, slot: &str) -> Result<Figure> {
    let walsender = Watch::walsender(url, slot);
    let start = Instant::now();
    let mut child: Child = command
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    let memory = Watch::peak_memory(child.id());
    let used = child.wait4().context("wait for the contender")?;
    let wall_s = start.elapsed().as_secs_f64();
    let walsender_cpu_s = walsender.stop()?;
    let peak_memory_bytes = memory.stop()?;
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut said)?;
    }
    ensure!(
        used.status.success(),
        "{command:?} ended with {}",
        used.status
    );
    Ok(Figure {
        wall_s,
        client_cpu_s: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        walsender_cpu_s,
        peak_memory_bytes,
        counted: counted(&said),
    })
}

/// The count of a line `done COUNT …`.
pub(crate) fn counted(said: &str) -> Option<u64> {
    let mut words = said.split_whitespace().skip_while(|word| *word != "done");
    words.nth(1)?.parse().ok()
}

/// A process that is looked at until this is told to stop.
pub(crate) struct Watch<T> {
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<Result<T>>,
}

impl Watch<f64> {
    /// The CPU time of the walsender of a slot, in seconds.
    pub(crate) fn walsender(url: &str, slot: &str) -> Self {
        let (url, slot) = (url.to_owned(), slot.to_owned());
        Self::begin(move |stop| walsender_cpu(&url, &slot, stop))
    }
}

impl Watch<u64> {
    /// The largest resident memory of a process, in bytes. What the kernel tells when it has ended includes
    /// what it was before it became this program: a copy of this one.
    fn peak_memory(pid: u32) -> Self {
        Self::begin(move |stop| {
            let mut peak = 0;
            loop {
                peak = peak.max(peak_memory_bytes(pid).unwrap_or_default());
                if stop.load(Ordering::Relaxed) {
                    return Ok(peak);
                }
                thread::sleep(LOOK);
            }
        })
    }
}

impl<T: Send + 'static> Watch<T> {
    fn begin(look: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let watcher = thread::spawn({
            let stop = Arc::clone(&stop);
            move || look(&stop)
        });
        Self { stop, watcher }
    }

    /// Ends looking, and returns what was seen.
    pub(crate) fn stop(self) -> Result<T> {
        self.stop.store(true, Ordering::Relaxed);
        let watched = self.watcher.join();
        watched.map_err(|_| anyhow::anyhow!("the watcher panicked"))?
    }
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
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        if let Some(used) = pid.and_then(cpu_of) {
            cpu_s = used;
        }
        thread::sleep(LOOK);
    }
    Ok(cpu_s)
}

/// `sysconf(_SC_CLK_TCK)` is 100 on every Linux that runs here.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    /// User and system time of the process, in clock ticks.
    own_ticks: f64,
    /// With that of the children that it has waited for.
    all_ticks: f64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name in parentheses: state is field 3, ppid 4, utime 14, stime 15, cutime 16, cstime 17.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let mut fields = fields.skip(9);
        let mut ticks = || fields.next()?.parse::<f64>().ok();
        let own_ticks = ticks()? + ticks()?;
        Some(Self {
            parent,
            own_ticks,
            all_ticks: own_ticks + ticks()? + ticks()?,
        })
    }
}

/// User and system time of a process so far; none where the system does not tell.
pub(crate) fn cpu_of(pid: u32) -> Option<f64> {
    Some(Stat::of(pid)?.own_ticks / TICKS_PER_SECOND)
}

/// User and system time so far of a process, of its children, and of all descendants that have ended, in
/// seconds: of a whole PostgreSQL by its postmaster. None where the system does not tell.
pub(crate) fn cpu_with_children(pid: u32) -> Option<f64> {
    let mut ticks = Stat::of(pid)?.all_ticks;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let child = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // Who has just ended is in the postmaster's account, or in the next look.
        let child = child.and_then(Stat::of);
        ticks += child
            .filter(|own| own.parent == pid)
            .map_or(0.0, |own| own.own_ticks);
    }
    Some(ticks / TICKS_PER_SECOND)
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

/// For people; differences may be negative.
pub(crate) fn mebibytes(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_word_behind_done() {
        assert_eq!(counted("done 12 3456\n"), Some(12));
        assert_eq!(counted("ready\nfirst\n"), None);
        assert_eq!(counted(""), None);
    }

    #[test]
    fn the_memory_of_a_process_is_not_that_of_who_started_it() {
        let large = vec![1_u8; 128 << 20];
        let mut sleep = Command::new("sleep").arg("60").spawn().expect("sleep");
        let memory = Watch::peak_memory(sleep.id());
        let peak = memory.stop().expect("it looks");
        sleep.kill().expect("it runs");
        sleep.wait().expect("it ends");
        assert!(peak > 0 && peak < large.len() as u64 / 2, "{peak}");
    }

    #[test]
    fn the_time_of_children_counts_while_they_run_and_when_they_have_ended() {
        let own = std::process::id();
        let (Some(before), Some(alone)) = (cpu_with_children(own), cpu_of(own)) else {
            // A system without /proc: there is nothing to measure with.
            return;
        };
        assert!(before >= alone, "{before} s of which {alone} s are its own");
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
        let mut child = Command::new("sh").args(["-c", burn]).spawn().expect("sh");
        assert!(child.wait().expect("it ends").success());
        let after = cpu_with_children(own).expect("as before");
        let more = cpu_of(own).expect("as before") - alone;
        assert!(
            after - before > more,
            "{after} s after {before} s and {more} s of its own"
        );
    }
}
