//! What is free on the server's disk, from a command.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// How often it is asked at most: such numbers are a minute old when they come.
const EVERY: Duration = Duration::from_secs(60);

/// A query to a monitoring service needs seconds.
const WITHIN: Duration = Duration::from_secs(30);

/// A number that is older than this is none: the disk may be full by now.
const FRESH: Duration = Duration::from_secs(300);

/// More output than this is no number.
const MAX_OUTPUT: u64 = 4096;

/// Asks a command, beside whoever wants to know.
#[derive(Debug)]
pub(super) struct FreeSpace {
    command: Vec<String>,
    asked: Option<Instant>,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    free: Option<(Instant, u64)>,
    /// The last attempt has failed, and that was said.
    fails: bool,
}

impl FreeSpace {
    pub(super) fn new(command: Vec<String>) -> Self {
        Self {
            command,
            asked: None,
            known: Arc::default(),
        }
    }

    /// What is known now, in bytes. Has the command run when it is time to; never waits for it.
    pub(super) fn bytes(&mut self, now: Instant) -> Option<u64> {
        let due = |asked: Instant| now.saturating_duration_since(asked) >= EVERY;
        if self.asked.is_none_or(due) {
            self.asked = Some(now);
            tokio::spawn(ask(self.command.clone(), Arc::clone(&self.known)));
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, free) = known.free?;
        (now.saturating_duration_since(at) <= FRESH).then_some(free)
    }
}

async fn ask(command: Vec<String>, known: Arc<Mutex<Known>>) {
    let answer = tokio::time::timeout(WITHIN, run(&command)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("not finished after {WITHIN:?}")));
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    match answer {
        Ok(free) => {
            known.free = Some((Instant::now(), free));
            known.fails = false;
        }
        Err(problem) => {
            if !known.fails {
                let program = command.first().map_or("", String::as_str);
                tracing::warn!(
                    program,
                    "the server's free disk is not known: free_space_command {problem}"
                );
            }
            known.fails = true;
        }
    }
}

async fn run(command: &[String]) -> Result<u64, String> {
    let (program, arguments) = command.split_first().ok_or("is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("can't be started: {error}"))?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(MAX_OUTPUT).read_to_end(&mut output).await;
        read.map_err(|error| error.to_string())?;
    }
    let status = child.wait().await.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("failed with {status}"));
    }
    read(&String::from_utf8_lossy(&output))
}

/// Whole bytes; monitoring services print them with a fraction or an exponent.
fn read(output: &str) -> Result<u64, String> {
    let line = output.lines().next().unwrap_or_default().trim();
    let number: f64 = line.parse().map_err(|_| "printed no number of bytes")?;
    if !(0.0..=1e18).contains(&number) {
        return Err("printed a number that is no size of a disk".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 1e18"
    )]
    let bytes = number as u64;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_services_print_them() {
        assert_eq!(read("5368709120\n"), Ok(5_368_709_120));
        assert_eq!(read(" 5368709120.0 \nmore"), Ok(5_368_709_120));
        assert_eq!(read("1.5e9"), Ok(1_500_000_000));
        for text in ["", "None", "-1", "NaN", "inf", "1e40", "5 GB"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_command_is_asked_beside_and_once_a_minute() {
        let words = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
        assert_eq!(run(&words("echo 4096")).await, Ok(4096));
        assert!(run(&words("echo 4096; exit 3")).await.is_err());
        assert!(run(&["/does/not/exist".to_owned()]).await.is_err());
        let (mut free, now) = (FreeSpace::new(words("echo 7")), Instant::now());
        assert_eq!(free.bytes(now), None, "it does not wait");
        while free.bytes(now).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(free.bytes(now), Some(7));
        assert_eq!(free.bytes(Instant::now() + FRESH * 2), None, "too old");
    }
}
