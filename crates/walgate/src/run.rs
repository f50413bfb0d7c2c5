//! `walgate run`.

use crate::config::{Loaded, Overrides};
use crate::ending::Ending;
use crate::entry::Console;

/// Forwards changes to the configured sinks until it is told to end.
///
/// `overrides` is what the configuration was loaded with, for loading it again on SIGHUP.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn run(loaded: Loaded, overrides: &Overrides, console: &Console) -> Result<(), Ending> {
    tracing::debug!(path = ?loaded.path, ?overrides, status_line = console.terminal.has_status_line());
    Err(Ending::other("walgate run is not wired to the engine yet"))
}
