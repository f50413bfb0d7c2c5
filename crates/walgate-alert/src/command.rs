//! A program that is told something.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::error::SendError;
use crate::message::{Message, cut};

/// The longest value of a variable: the kernel takes 128 KiB, and nobody reads more than this.
const MOST_VALUE: usize = 4 << 10;

/// How much of what it complains about is shown.
const SHOWN_STDERR: u64 = 500;

/// How long what it has written is waited for after its end: a child of it may hold the pipe.
const STDERR_GRACE: Duration = Duration::from_millis(200);

/// A program and its arguments, run without a shell, in a process group of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    words: Vec<String>,
    timeout: Duration,
}

/// Arguments may be secrets.
impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program")
            .field("program", &self.name())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// It has ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended;

impl Program {
    /// A program, its arguments, and how long it may take before it is killed with all that it has
    /// started.
    pub const fn new(words: Vec<String>, timeout: Duration) -> Self {
        Self { words, timeout }
    }

    /// The program, without its arguments.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Runs it: the message is in its environment (`WALGATE_…`), and as JSON on its standard input.
    ///
    /// # Errors
    ///
    /// When it can't be run, fails, or takes too long.
    pub async fn run(&self, message: &Message) -> Result<Ended, SendError> {
        let (program, arguments) = self
            .words
            .split_first()
            .ok_or_else(|| SendError::refused("there is no program"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(variables(message))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            SendError::refused(format!("program {program} can't be run: {error}"))
        })?;
        let group = Group(child.id());
        let input = serde_json::to_vec(message).unwrap_or_default();
        let ended = timeout(self.timeout, wait(&mut child, &input)).await;
        let (status, said) = match ended {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => {
                let what = format!("program {program} can't be waited for: {error}");
                return Err(SendError::transient(what));
            }
            Err(_) => {
                drop(group);
                // It is killed, so this takes no time.
                let reaped = timeout(STDERR_GRACE, child.wait()).await;
                tracing::debug!(?reaped, "a program was killed");
                let seconds = self.timeout.as_secs_f64();
                let what =
                    format!("program {program} had not ended after {seconds} s, and was killed");
                return Err(SendError::transient(what));
            }
        };
        // What it has left running in the background is its own business.
        std::mem::forget(group);
        if status.success() {
            return Ok(Ended);
        }
        let said = match said.trim() {
            "" => String::new(),
            said => format!(": {said}"),
        };
        Err(SendError::transient(format!(
            "program {program} has failed ({status}){said}"
        )))
    }
}

async fn wait(
    child: &mut Child,
    input: &[u8],
) -> std::io::Result<(std::process::ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feeding = async {
        if let Some(mut stdin) = stdin {
            // One that does not read it closes it, and that is fine.
            drop(stdin.write_all(input).await);
        }
    };
    let mut said = Vec::new();
    let status = {
        let reading = async {
            if let Some(mut stderr) = stderr {
                let mut shown = (&mut stderr).take(SHOWN_STDERR);
                drop(shown.read_to_end(&mut said).await);
                // The rest is read too: a full pipe would keep it from ending.
                drop(tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await);
            }
        };
        let mut reading = std::pin::pin!(reading);
        let mut feeding = std::pin::pin!(feeding);
        let (mut fed, mut read) = (false, false);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut feeding, if !fed => fed = true,
                () = &mut reading, if !read => read = true,
            }
        };
        if !read {
            // Late is as good as never.
            drop(timeout(STDERR_GRACE, reading).await);
        }
        status
    };
    let said = cut(&String::from_utf8_lossy(&said), MOST_VALUE);
    Ok((status, said))
}

/// Kills a process group when it is dropped.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let killed = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            // It may have gone already.
            tracing::debug!(?killed, "a program's group was killed");
        }
    }
}

fn variables(message: &Message) -> Vec<(String, String)> {
    let own = [
        ("KIND", Some(message.kind.clone())),
        ("KEY", Some(message.key.clone())),
        ("RULE", Some(message.rule.clone())),
        ("SUBJECT", Some(message.subject.clone())),
        ("SEVERITY", Some(message.severity.name().to_owned())),
        ("SUMMARY", Some(message.summary.clone())),
        ("SINCE", Some(message.since.to_string())),
        ("SOURCE", Some(message.source.clone())),
        ("FORECAST", message.forecast.clone()),
        ("CULPRIT", message.culprit.clone()),
        ("COMMAND", message.command.clone()),
    ];
    let own = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default()));
    let facts = message.facts.iter().map(|(name, value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (format!("FACT_{}", name.to_ascii_uppercase()), value)
    });
    own.chain(facts)
        .map(|(name, value)| (format!("WALGATE_{name}"), cut(&value, MOST_VALUE)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::message::example;

    fn shell(script: &str, timeout: Duration) -> Program {
        let words = ["sh", "-c", script].map(str::to_owned);
        Program::new(words.to_vec(), timeout)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_program_has_the_facts() {
        let script = r#"test "$WALGATE_RULE" = headroom && test "$WALGATE_FACT_RETAINED_BYTES" = 12 \
            && grep -q '"kind":"raised"'"#;
        let ended = shell(script, LONG).run(&example("raised", "k")).await;
        assert_eq!(ended, Ok(Ended));
    }

    #[tokio::test]
    async fn one_that_fails_says_why_and_reads_nothing() {
        let failed = shell("exec <&-; echo no such host >&2; exit 3", LONG);
        let error = failed
            .run(&example("raised", "k"))
            .await
            .expect_err("fails");
        let text = error.to_string();
        assert!(
            text.contains("no such host") && text.contains('3'),
            "{text}"
        );
        let missing = Program::new(vec!["/nowhere/at-all".to_owned()], LONG);
        let error = missing.run(&example("raised", "k")).await;
        assert!(matches!(error, Err(SendError::Refused { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_what_it_has_started() {
        let folder = std::env::temp_dir().join(format!("walgate-alert-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let pid = folder.join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
        let since = Instant::now();
        let hanging = shell(&script, Duration::from_secs(2));
        let error = hanging
            .run(&example("raised", "k"))
            .await
            .expect_err("killed");
        assert!(error.to_string().contains("was killed"), "{error}");
        assert!(since.elapsed() < LONG);
        let pid = std::fs::read_to_string(&pid).expect("it was started");
        std::fs::remove_dir_all(&folder).expect("removed");
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.ok()
                .and_then(|stat| stat.split(' ').nth(2).map(str::to_owned))
        };
        // Gone, or dead and waiting for init.
        while state().is_some_and(|state| state != "Z" && state != "X") {
            assert!(since.elapsed() < LONG, "it lives");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
