//! `walgate rewind`.

use crate::args::RewindArgs;
use crate::config::{Overrides, Surroundings, load};
use crate::control::{Command, RewindAsked, ask};
use crate::ending::Ending;

/// Asks the service of a configuration to give a sink events again. Returns what is to be said.
///
/// # Errors
///
/// When no service runs, or it refuses.
pub fn rewind(args: &RewindArgs) -> Result<String, Ending> {
    let loaded = load(
        Some(args.file.path()),
        &Overrides::default(),
        &Surroundings::of_process(),
    )?;
    let asked = RewindAsked {
        sink: args.sink.clone(),
        to: args.to.0.clone(),
        accept_reorder: args.accept_reorder,
    };
    let (answer, line) = ask(&loaded.config.state.dir, &Command::Rewind(asked))?;
    if args.json {
        return Ok(line);
    }
    let accepted = answer
        .rewind
        .ok_or_else(|| Ending::other("the service has answered something else"))?;
    Ok(format!(
        "rewind {}: sink {} gets everything again from {} on, up to {} at least\n",
        accepted.id, accepted.sink, accepted.from, accepted.delivered
    ))
}
