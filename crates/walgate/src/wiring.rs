//! From what is configured to an engine that runs: the one place that knows every part.

mod engine;
mod kafka;
mod progress;
mod screen;
mod selection;
mod sinks;
mod source;

pub(crate) use engine::{Engine, Finish, block_on};
pub(crate) use screen::Screen;
pub(crate) use selection::{operation, pattern};
pub(crate) use sinks::{Known, add_sinks};
pub(crate) use source::{connection, source_config};
