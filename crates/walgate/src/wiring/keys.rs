//! The master keys of the journal: from a file, or a program.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use walgate_core::{Failure, StopReason};
use walgate_journal::segment::Keyring;
use zeroize::Zeroizing;

use super::blocking;
use crate::args::KeyArgs;
use crate::config::{Config, Journal, OnDefinite, Sink};

/// A thousand keys, and less than a pipe holds: a program that prints no more ends before it is
/// read.
const MOST_BYTES: u64 = 48 << 10;

/// A key service that does not answer in this time is down.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is asked whether a program has ended; it runs once at each start.
const LOOK_EVERY: Duration = Duration::from_millis(10);

const HINT: &str = "write one key on each line, the newest last: openssl rand -hex 32";

/// The keys that are configured, and whether to encrypt with them. Blocks.
///
/// # Errors
///
/// When they can't be had, or are no keys.
pub(crate) fn configured_keys(journal: &Journal) -> Result<Keyring, Failure> {
    let keys = match (
        &journal.encryption_key_file,
        &journal.encryption_key_command,
    ) {
        (Some(file), _) => keys_of_file(file)?,
        (None, Some(words)) => keys_of_command(words)?,
        (None, None) => return Ok(Keyring::default()),
    };
    Ok(match journal.encrypt {
        true => keys,
        false => keys.opens_only(),
    })
}

/// The keys that are configured, for a process: they are asked for when somebody needs them first,
/// and once.
#[derive(Debug)]
pub(crate) struct JournalKeys {
    journal: Journal,
    keys: OnceCell<Keyring>,
}

impl JournalKeys {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            journal: config.journal.clone(),
            keys: OnceCell::new(),
        }
    }

    /// The keys.
    ///
    /// # Errors
    ///
    /// As for [`configured_keys`].
    pub(crate) async fn get(&self) -> Result<Keyring, Failure> {
        let journal = self.journal.clone();
        let ask = || blocking(move || configured_keys(&journal));
        self.keys.get_or_try_init(ask).await.cloned()
    }

    /// The keys for dead letters in files, where one of the sinks writes any.
    ///
    /// # Errors
    ///
    /// As for [`configured_keys`].
    pub(crate) async fn of_letters(
        &self,
        mut sinks: impl Iterator<Item = &Sink>,
    ) -> Result<Keyring, Failure> {
        let writes = |sink: &Sink| {
            sink.on_definite == OnDefinite::DeadLetter && sink.dead_letter.file.is_some()
        };
        match sinks.any(writes) {
            true => self.get().await,
            false => Ok(Keyring::default()),
        }
    }
}

/// The keys in a file. Blocks.
///
/// # Errors
///
/// When it can't be read, or holds no keys.
fn keys_of_file(file: &Path) -> Result<Keyring, Failure> {
    let what = format!("the key file {}", file.display());
    let text = File::open(file).and_then(|file| text(file.take(MOST_BYTES)));
    let text = text.map_err(|error| refused(format!("{what} can't be read: {error}"), HINT))?;
    parse(&what, &text)
}

impl KeyArgs {
    /// The keys that were named; none when none were. Blocks.
    ///
    /// # Errors
    ///
    /// As for [`keys_of_file`].
    pub(crate) fn load(&self) -> Result<Keyring, Failure> {
        let file = self.key_file.as_deref();
        file.map_or_else(|| Ok(Keyring::default()), keys_of_file)
    }
}

fn keys_of_command(words: &[String]) -> Result<Keyring, Failure> {
    let what = "what encryption_key_command prints";
    parse(what, &output_of(words)?)
}

fn parse(what: &str, text: &str) -> Result<Keyring, Failure> {
    Keyring::parse(text).map_err(|error| refused(format!("{what} can't be used: {error}"), HINT))
}

fn text(mut from: impl Read) -> io::Result<Zeroizing<String>> {
    // As large as it gets, so that no part of it is left behind by a buffer that grows.
    let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES as usize + 1));
    from.read_to_string(&mut text)?;
    Ok(text)
}

/// What a program prints. It is never shown, and neither are its arguments.
fn output_of(words: &[String]) -> Result<Zeroizing<String>, Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(refused("encryption_key_command is empty".to_owned(), HINT));
    };
    let failed = |problem: String| {
        refused(
            format!("encryption_key_command ({program}) {problem}"),
            "run it by hand as the user that Walgate runs as",
        )
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("can't be run: {error}")))?;
    let since = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if since.elapsed() < COMMAND_TIMEOUT => thread::sleep(LOOK_EVERY),
            Ok(None) => {
                // Best effort: it is not waited for any longer.
                let killed = child.kill().and_then(|()| child.wait());
                tracing::debug!(?killed, "a program was stopped");
                let seconds = COMMAND_TIMEOUT.as_secs();
                return Err(failed(format!("has not ended after {seconds} s")));
            }
            Err(error) => return Err(failed(format!("can't be waited for: {error}"))),
        }
    };
    if !status.success() {
        return Err(failed(format!("has failed: {status}")));
    }
    let Some(output) = child.stdout.take() else {
        return Err(failed("has no output".to_owned()));
    };
    text(output.take(MOST_BYTES)).map_err(|error| failed(format!("can't be read: {error}")))
}

fn refused(message: String, hint: &str) -> Failure {
    Failure::new(StopReason::Config, message).hint(hint)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test that can't go on says so")]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn command(script: &str) -> Result<Keyring, Failure> {
        keys_of_command(&["sh", "-c", script].map(str::to_owned))
    }

    #[test]
    fn a_file_and_a_program_give_the_same_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        std::fs::write(&file, format!("# of 2026\n{KEY}\n")).expect("written");
        let of_file = keys_of_file(&file).expect("keys");
        assert_eq!(command(&format!("echo {KEY}")).expect("keys"), of_file);
        let journal = Journal {
            encryption_key_file: Some(file),
            encrypt: false,
            ..Journal::default()
        };
        let opens = configured_keys(&journal).expect("keys");
        assert_eq!(opens.ids(), of_file.ids());
        assert!(!opens.encrypts() && of_file.encrypts());
    }

    #[tokio::test]
    async fn a_program_is_asked_when_its_keys_are_needed_and_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let asked = folder.path().join("asked");
        let script = format!("echo >> {}; echo {KEY}", asked.display());
        let mut config = Config::default();
        config.journal.encryption_key_command =
            Some(["sh", "-c", &script].map(str::to_owned).to_vec());
        let keys = JournalKeys::of(&config);
        let mut sink = Sink::default();
        let none = keys.of_letters([&sink].into_iter()).await.expect("none");
        assert!(none.ids().is_empty() && !asked.exists());
        sink.on_definite = OnDefinite::DeadLetter;
        sink.dead_letter.file = Some(folder.path().join("dead"));
        let letters = keys.of_letters([&sink].into_iter()).await.expect("keys");
        assert_eq!(keys.get().await.expect("keys"), letters);
        let asked = std::fs::read_to_string(&asked).expect("it was asked");
        assert_eq!(asked, "\n");
    }

    #[test]
    fn what_fails_says_so_and_shows_no_key() {
        let missing = keys_of_file(Path::new("/no/such/file")).expect_err("missing");
        assert!(missing.to_string().contains("/no/such/file"), "{missing}");
        for (script, says) in [
            (format!("echo {KEY}; exit 3"), "exit status: 3"),
            (format!("echo {KEY}00"), "line 1 is no key"),
            ("true".to_owned(), "no key in it"),
        ] {
            let failure = command(&script).expect_err("refused");
            let text = format!("{failure} {failure:?}");
            assert!(text.contains(says), "{text}");
            assert!(!text.contains("aabbccdd"), "{text}");
            assert_eq!(failure.reason, StopReason::Config);
        }
    }
}
