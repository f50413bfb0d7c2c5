//! `walgate tail`.

use crate::args::TailArgs;
use crate::ending::Ending;
use crate::entry::Console;

/// Writes the changes of a database to stdout.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn tail(args: &TailArgs, console: &Console) -> Result<(), Ending> {
    tracing::debug!(format = ?args.output_format(console.stdout_is_terminal));
    Err(Ending::other("walgate tail is not wired to the engine yet"))
}
