//! How the program has done: what it says, and with what it ends.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::{Ended, Patience, Program, step};

/// The warning that comes with a new slot.
pub const CREATED: &str = "created slot";

/// What a start may say whose predecessor was killed: the server may not know of it yet.
pub const AFTER_A_KILL: &[&str] = &["is active for", "in use"];

/// Waits until `condition` holds.
///
/// # Errors
///
/// When the condition can't be asked, or the patience of the tests ends before.
pub fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    step(|| format!("wait until {what}"));
    let patience = Patience::new();
    while !condition().with_context(|| format!("until {what}"))? {
        patience.lasts(&format!("end of waiting until {what}"))?;
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// How the guard's alerts begin in the log: it repeats what stands, and a slow machine makes it stand for
/// longer. What it tells is tested where it is tested.
const TOLD: [&str; 3] = ["alert warning: ", "alert critical: ", "alert emergency: "];

/// Lines of a log that nobody expected: WARN and ERROR, but for those that contain one of `known`, and
/// alerts.
pub fn alarms<'a>(log: &'a str, known: &[&str]) -> Vec<&'a str> {
    log.lines()
        .filter(|line| {
            ["WARN", "ERROR", "error:", "panicked"]
                .iter()
                .any(|level| line.contains(level))
        })
        .filter(|line| !known.iter().chain(&TOLD).any(|text| line.contains(text)))
        .collect()
}

/// Asserts that the log holds no WARN and ERROR, but for `known`.
///
/// # Errors
///
/// When it does.
pub fn quiet(log: &str, known: &[&str]) -> Result<()> {
    let alarms = alarms(log, known);
    ensure!(alarms.is_empty(), "unexpected in the log: {alarms:#?}");
    Ok(())
}

/// Asserts that it ended with 0 and said nothing but `known`.
///
/// # Errors
///
/// When it did not.
pub fn clean(ended: &Ended, known: &[&str]) -> Result<()> {
    let (status, log) = (ended.status, &ended.stderr);
    ensure!(status.code() == Some(0), "ended with {status}: {log}");
    quiet(log, known)
}

/// Ends the service in order.
///
/// # Errors
///
/// When the end is not [`clean`].
pub fn stop(program: Program, known: &[&str]) -> Result<Ended> {
    program.signal("TERM")?;
    let ended = program.wait()?;
    clean(&ended, known)?;
    Ok(ended)
}

/// Asserts that it ended with `code`, and that its error says all of `texts`.
///
/// # Errors
///
/// When it did not.
pub fn failed(ended: &Ended, code: i32, texts: &[&str]) -> Result<()> {
    let (status, log) = (ended.status, &ended.stderr);
    ensure!(
        status.code() == Some(code),
        "{status} instead of exit code {code}: {log}"
    );
    for text in texts {
        ensure!(log.contains(text), "{text:?} is missing: {log}");
    }
    Ok(())
}

/// As [`failed`], with a hint, and nothing else alarmed but `known`.
///
/// # Errors
///
/// When it did not.
pub fn refused(ended: &Ended, code: i32, texts: &[&str], known: &[&str]) -> Result<()> {
    failed(ended, code, texts)?;
    let hint = ended.stderr.lines().any(|line| line.starts_with("hint: "));
    ensure!(hint, "a hint is missing: {}", ended.stderr);
    let known: Vec<_> = known.iter().copied().chain(["error: "]).collect();
    quiet(&ended.stderr, &known)
}
