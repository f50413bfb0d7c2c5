//! From what is configured to an engine that runs: the one place that knows every part.

mod begin;
mod engine;
mod journal;
mod kafka;
mod progress;
mod screen;
mod selection;
mod sinks;
mod source;

pub(crate) use engine::{Engine, Finish, block_on};
pub(crate) use journal::Keeping;
pub(crate) use screen::Screen;
pub(crate) use selection::{operation, patterns};
pub(crate) use sinks::{Known, add_sinks};
pub(crate) use source::{connection, source_config};
