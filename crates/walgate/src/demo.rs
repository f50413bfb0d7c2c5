//! `walgate demo`.

use crate::args::DemoArgs;
use crate::ending::Ending;
use crate::entry::Console;

/// Shows changes flowing from a throw-away PostgreSQL.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn demo(args: &DemoArgs, console: &Console) -> Result<(), Ending> {
    tracing::debug!(?args, colour = console.stdout_colour);
    Err(Ending::other("walgate demo is not wired to the engine yet"))
}
