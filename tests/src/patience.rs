//! How long a test waits for what should come. Nothing is right because it was waited for: the
//! bounds only turn a test that would hang into one that fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Longer than anything takes that is waited for, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Since when something is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience(Instant);

impl Patience {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// Fails when it has been waited for `what` for too long.
    ///
    /// # Errors
    ///
    /// After [`PATIENCE`].
    pub fn lasts(&self, what: &str) -> Result<()> {
        ensure!(self.0.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}");
        Ok(())
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self::new()
    }
}

/// What a thread of tests did last.
struct Step {
    test: String,
    what: String,
    at: Instant,
}

/// Steps by the kernel's id of the thread, which is gone when the test has ended.
static STEPS: Mutex<BTreeMap<u64, Step>> = Mutex::new(BTreeMap::new());

/// Watches the tests; started by their first step.
static WATCH: OnceLock<()> = OnceLock::new();

/// For a program that is no test and may take its time: nothing is watched.
pub fn unwatched() {
    WATCH.get_or_init(|| ());
}

/// Notes that a test goes on, with `what` it does now. A run in which no test has gone on for far
/// longer than any of them waits is ended, with the tests that hang and what they were at: without
/// this it would say nothing until somebody else ends it.
pub fn step(what: impl FnOnce() -> String) {
    WATCH.get_or_init(|| drop(thread::spawn(watch)));
    let thread = fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|path| path.file_name()?.to_str()?.parse().ok());
    let Some(thread) = thread else { return };
    let step = Step {
        test: thread::current().name().unwrap_or("a thread").to_owned(),
        what: what(),
        at: Instant::now(),
    };
    steps().insert(thread, step);
}

fn steps() -> std::sync::MutexGuard<'static, BTreeMap<u64, Step>> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() {
    let limit = if crate::long() { 30 } else { 5 } * PATIENCE;
    loop {
        thread::sleep(Duration::from_secs(5));
        let steps = steps();
        let last = steps.values().map(|step| step.at).max();
        if last.is_some_and(|last| last.elapsed() > limit) {
            // Past the capture of the test that has started this thread.
            let _said = writeln!(
                std::io::stderr(),
                "no test has gone on for {limit:?}{}",
                hanging(&steps)
            );
            std::process::abort();
        }
    }
}

/// The tests whose threads are still there, and the programs that they have started.
fn hanging(steps: &BTreeMap<u64, Step>) -> String {
    let mut text = String::new();
    for (thread, step) in steps {
        let task = format!("/proc/self/task/{thread}");
        if !fs::exists(&task).unwrap_or(false) {
            continue;
        }
        let call = fs::read_to_string(format!("{task}/wchan")).unwrap_or_default();
        let Step { test, what, at } = step;
        let since = at.elapsed();
        let _written = write!(text, "\n  {test}: {what}, {since:?} ago, now in {call}");
        let children = fs::read_to_string(format!("{task}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let command = fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            let _written = write!(text, "\n    {child}: {}", command.replace('\0', " "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_goes_on_is_named_with_what_it_is_at() {
        step(|| "a step".to_owned());
        let said = hanging(&steps());
        let name = "a_test_that_goes_on_is_named_with_what_it_is_at: a step";
        assert!(said.contains(name), "{said}");
        thread::spawn(|| step(|| "one that ends".to_owned()))
            .join()
            .expect("no panic");
        assert!(!hanging(&steps()).contains("one that ends"));
    }
}
