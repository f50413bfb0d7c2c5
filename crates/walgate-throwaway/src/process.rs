//! One server process: started with a log, watched by the guard, signalled, waited for.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::ThrowawayError;
use crate::guard::Guard;
use crate::run_as::log_tail;

/// Between two looks at a server that starts or stops.
const POLL: Duration = Duration::from_millis(10);

/// A running child of ours. Dropping it does not end it: the guard does.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
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
        let child = command
            .spawn()
            .map_err(ThrowawayError::io("run", command.get_program()))?;
        guard.watch(child.id())?;
        Ok(Self { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
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
                log: log_tail(log),
            });
        }
    }
}
