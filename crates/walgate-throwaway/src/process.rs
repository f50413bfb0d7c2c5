//! One server process: started with a log, watched by the guard, signalled, waited for.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::ThrowawayError;
use crate::guard::Guard;
use crate::run_as::tail;

/// Between two looks at a server that starts or stops.
const POLL: Duration = Duration::from_millis(10);

/// A running child of ours. Dropping it does not end it: the guard does.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    /// Length of the log when this process started: what is before is of an earlier one.
    log_start: u64,
}

impl ServerProcess {
    /// Starts `command` with both outputs appended to `log`, in a process group of its own so that
    /// Ctrl-C in a terminal reaches only us.
    pub(crate) fn spawn(
        mut command: Command,
        log: &Path,
        guard: &mut Guard,
    ) -> Result<Self, ThrowawayError> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let stdout = open().map_err(ThrowawayError::io("open", log))?;
        let stderr = open().map_err(ThrowawayError::io("open", log))?;
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        let log_start = std::fs::metadata(log).map_or(0, |log| log.len());
        let child = command
            .spawn()
            .map_err(ThrowawayError::io("run", command.get_program()))?;
        guard.watch(child.id())?;
        Ok(Self { child, log_start })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where in the log this process began.
    pub(crate) const fn log_start(&self) -> u64 {
        self.log_start
    }

    /// Kills this process and its children at once, as a power failure would: children that go on
    /// for a while after their parent's death would be in the way of the next start.
    pub(crate) fn kill_tree(&self) -> Result<(), ThrowawayError> {
        let children = children_of(self.child.id());
        self.signal(Signal::KILL)?;
        for child in children {
            // Some have ended since they were listed.
            kill_process(child, Signal::KILL).unwrap_or_default();
        }
        Ok(())
    }

    /// Sends a signal; a process that is gone already is no error.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), ThrowawayError> {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            return Ok(());
        };
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ThrowawayError::Setup(format!("signal {pid:?}: {error}"))),
        }
    }

    /// Waits for the end and tells the guard that nothing is left to be ended.
    pub(crate) fn wait(
        &mut self,
        patience: Duration,
        guard: &mut Guard,
    ) -> Result<Option<ExitStatus>, ThrowawayError> {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self
                .child
                .try_wait()
                .map_err(ThrowawayError::io("wait for", "server"))?;
            if ended.is_some() {
                guard.forget()?;
                return Ok(ended);
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until `ready` says so; fails with the log's end when the process ends or stays silent.
    pub(crate) fn until_ready(
        &mut self,
        server: &str,
        log: &Path,
        patience: Duration,
        guard: &mut Guard,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), ThrowawayError> {
        let deadline = Instant::now() + patience;
        loop {
            if ready() {
                return Ok(());
            }
            let problem = match self.wait(Duration::ZERO, guard)? {
                Some(status) => format!("ended with {status} instead of starting"),
                None if Instant::now() >= deadline => format!("is not ready after {patience:?}"),
                None => {
                    std::thread::sleep(POLL);
                    continue;
                }
            };
            return Err(ThrowawayError::NotReady {
                server: server.into(),
                problem,
                log: log_excerpt(log, self.log_start),
            });
        }
    }
}

/// Child processes, as `ps` tells; none when there is no `ps`.
fn children_of(parent: u32) -> Vec<Pid> {
    let listed = Command::new("ps")
        .args(["-A", "-o", "ppid=", "-o", "pid="])
        .output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let parent = parent.to_string();
    text.unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (owner, pid) = line.trim().split_once(char::is_whitespace)?;
            if owner != parent {
                return None;
            }
            Pid::from_raw(pid.trim().parse().ok()?)
        })
        .collect()
}

/// Words of a log line that says why a server did not start.
const REASONS: [&str; 5] = ["FATAL", "ERROR", "HINT", "Exception", "could not"];

/// A log from byte `start` on.
fn log_from(log: &Path, start: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(0);
    String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
}

/// Whether a log has these words after byte `start`.
pub(crate) fn log_says(log: &Path, start: u64, words: &str) -> bool {
    log_from(log, start).contains(words)
}

/// What an error shows of a log from byte `start` on: all of a short one; of a long one the lines
/// that give reasons, or its end when there are none. Kafka goes on for pages after its reason.
pub(crate) fn log_excerpt(log: &Path, start: u64) -> String {
    let text = log_from(log, start);
    if tail(&text).len() == text.len() {
        return text;
    }
    let reasons: Vec<&str> = text
        .lines()
        .filter(|line| REASONS.iter().any(|word| line.contains(word)))
        .collect();
    let shown = if reasons.is_empty() {
        text
    } else {
        reasons.join("\n")
    };
    tail(&shown).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_of_this_start_and_of_a_long_log_the_reasons() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let old = "FATAL: old\n";
        std::fs::write(&log, format!("{old}LOG: starting\n")).unwrap();
        assert_eq!(log_excerpt(&log, old.len() as u64), "LOG: starting\n");
        let pages = "INFO shutting down\n".repeat(1000);
        std::fs::write(&log, format!("{old}FATAL: new\n{pages}")).unwrap();
        assert_eq!(log_excerpt(&log, old.len() as u64), "FATAL: new");
        std::fs::write(&log, &pages).unwrap();
        assert!(log_excerpt(&log, 0).ends_with("INFO shutting down\n"));
    }
}
