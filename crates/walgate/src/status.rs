//! `walgate status`, and the page `/status`: how a service does, in one document.

mod gateway_report;
mod report;
mod source_view;
mod text;
mod troubles;

pub(crate) use report::StatusReport;
pub(crate) use source_view::source_view;

use serde_json::Value;

use crate::args::StatusArgs;
use crate::config::{Overrides, Surroundings, load};
use crate::control::{Command, ask};
use crate::ending::Ending;

/// What a service says of itself, and whether that is good.
#[derive(Debug)]
pub struct Said {
    /// For stdout.
    pub text: String,
    /// What is wrong, in words; none when it is healthy.
    pub trouble: Option<Ending>,
}

/// Asks the service of a configuration how it does.
///
/// # Errors
///
/// When no service runs, or it does not answer.
pub fn status(args: &StatusArgs) -> Result<Said, Ending> {
    let loaded = load(
        Some(args.file.path()),
        &Overrides::default(),
        &Surroundings::of_process(),
    )?;
    let (answer, _) = ask(&loaded.config.state.dir, &Command::Status)?;
    let status = answer
        .status
        .ok_or_else(|| Ending::other("the service has answered something else"))?;
    let text = match args.json {
        true => format!("{status}\n"),
        false => text::render(&status),
    };
    Ok(Said {
        text,
        trouble: trouble(&status),
    })
}

fn trouble(status: &Value) -> Option<Ending> {
    if status["healthy"] == Value::Bool(true) {
        return None;
    }
    let troubles = status["troubles"].as_array();
    let troubles = troubles.into_iter().flatten().filter_map(Value::as_str);
    let troubles: Vec<_> = troubles.map(crate::slots::table::clean).collect();
    let message = match troubles.is_empty() {
        true => "the service is not healthy".to_owned(),
        false => troubles.join("; "),
    };
    Some(Ending::other(message))
}
