//! The program as a process.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{PATIENCE, Patience, step};

/// The built program, beside the test binary.
///
/// # Panics
///
/// When it was not built.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let built = test
        .parent()
        .and_then(|deps| deps.parent())
        .map(|dir| dir.join("walgate"));
    let built = built.filter(|path| path.exists());
    built.unwrap_or_else(|| panic!("walgate is not built: cargo build -p walgate"))
}

/// A running program.
pub struct Program {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// How a program has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// The lines of its standard output.
    pub lines: Vec<String>,
    /// Its standard error.
    pub stderr: String,
}

impl Program {
    /// Starts it with `args`; nothing of the test's environment for PostgreSQL or Kafka goes along.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Self> {
        Self::start_with(args, &[])
    }

    /// Starts it with `args` and an environment of its own.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start_with<S: AsRef<std::ffi::OsStr>>(
        args: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        Self::spawn(Command::new(program()), args, environment)
    }

    /// Starts it under another command, which is to `exec` its last arguments.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start_under<S: AsRef<std::ffi::OsStr>>(
        prefix: &[&str],
        args: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let (first, rest) = prefix.split_first().context("a command")?;
        let mut command = Command::new(first);
        command.args(rest).arg(program());
        Self::spawn(command, args, &[])
    }

    fn spawn<S: AsRef<std::ffi::OsStr>>(
        mut command: Command,
        args: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .args(args)
            .envs(environment.iter().copied())
            .env("RUST_BACKTRACE", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        step(|| format!("start {command:?}"));
        let mut child = command.spawn().context("start walgate")?;
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = Arc::new(Mutex::new(String::new()));
        let reader = child.stderr.take().map(|pipe| {
            let kept = Arc::clone(&stderr);
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.push_str(&line);
                    kept.push('\n');
                }
            })
        });
        Ok(Self {
            child,
            stdout,
            stderr,
            reader,
        })
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A figure of `/proc/PID/status`, in KiB: `VmHWM` is the most memory that it ever had.
    ///
    /// # Errors
    ///
    /// When it has ended, or there is no such figure.
    pub fn memory_kib(&self, figure: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
        let kib = line
            .and_then(|line| line.split_whitespace().next())
            .context("a figure")?;
        Ok(kib.parse()?)
    }

    /// Whether it waits for a reader of its standard output: the pipe is full.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn is_blocked(&self) -> Result<bool> {
        let blocked = |task: std::fs::DirEntry| {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let call = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            // 1 is write on x86-64, 64 on aarch64.
            name.trim() == "walgate-writer"
                && ["1 ", "64 "].iter().any(|write| call.starts_with(write))
        };
        let mut tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()))?;
        Ok(tasks.any(|task| task.is_ok_and(blocked)))
    }

    /// The next line of its standard output.
    ///
    /// # Errors
    ///
    /// When it has ended, or the patience of the tests does before there is one.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().context("standard output was taken")?;
        if stdout.buffer().is_empty() {
            let limit = Timespec::try_from(PATIENCE)?;
            let mut pipe = [PollFd::new(stdout.get_ref(), PollFlags::IN)];
            let ready = poll(&mut pipe, Some(&limit))?;
            ensure!(ready > 0, "walgate says nothing: {}", self.stderr());
        }
        if stdout.read_line(&mut line)? == 0 {
            bail!("walgate has ended: {}", self.stderr());
        }
        Ok(line.trim_end_matches('\n').to_owned())
    }

    /// Takes standard output over.
    pub fn take_stdout(&mut self) -> Option<BufReader<ChildStdout>> {
        self.stdout.take()
    }

    /// Waits until standard error holds `text`.
    ///
    /// # Errors
    ///
    /// When it ends, or the patience of the tests does, before it does.
    pub fn wait_for_log(&mut self, text: &str) -> Result<()> {
        self.wait_until(&format!("{text:?} in the log"), |stderr| {
            stderr.contains(text)
        })
    }

    /// Waits until `condition` holds of standard error.
    ///
    /// # Errors
    ///
    /// As [`wait_for_log`](Self::wait_for_log).
    pub fn wait_until(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        step(|| format!("wait for {what}"));
        let patience = Patience::new();
        loop {
            if condition(&self.stderr()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "walgate ended with {status} before {what}: {}",
                    self.stderr()
                );
            }
            patience.lasts(what).with_context(|| self.stderr())?;
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal (`TERM`, `KILL`, `HUP`, `STOP`, `CONT`).
    ///
    /// # Errors
    ///
    /// When it has gone already.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()?;
        status
            .success()
            .then_some(())
            .with_context(|| format!("kill -{name}"))
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When the patience of the tests ends first.
    pub fn wait(mut self) -> Result<Ended> {
        let stdout = self.stdout.take();
        let lines = thread::spawn(move || {
            let mut text = String::new();
            stdout
                .map(|mut stdout| stdout.read_to_string(&mut text))
                .transpose()
                .map(|_| text)
        });
        step(|| "wait for the end of walgate".to_owned());
        let patience = Patience::new();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            patience
                .lasts("end of walgate")
                .with_context(|| self.stderr())?;
            thread::sleep(Duration::from_millis(2));
        };
        let text = lines
            .join()
            .map_err(|_| anyhow::anyhow!("the reader of stdout panicked"))??;
        if let Some(reader) = self.reader.take() {
            reader
                .join()
                .map_err(|_| anyhow::anyhow!("the reader of stderr panicked"))?;
        }
        let lines = text.lines().map(str::to_owned).collect();
        Ok(Ended {
            status,
            lines,
            stderr: self.stderr(),
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended; there is nothing to be done about a failure here.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
