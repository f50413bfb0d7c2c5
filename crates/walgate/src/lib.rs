//! The program: arguments, configuration, wiring, terminal output.
//!
//! [`entry()`] is `main`. Each command has a file of its own; what they are told is in [`args`], what
//! a service is told in [`config`]. Data goes to stdout and everything else to stderr; a command ends
//! with a [`Failure`](walgate_core::Failure) or an exit code of 0.
#![forbid(unsafe_code)]

pub mod alerts;
pub mod args;
pub mod check;
pub mod completions;
pub mod config;
pub mod config_command;
mod control;
pub mod demo;
pub mod diff;
pub mod ending;
pub mod entry;
pub mod follow;
pub mod gateway;
mod guard;
mod http;
pub mod journal_command;
pub mod logging;
pub mod manual;
mod metrics;
pub mod record;
pub mod replay;
pub mod rewind;
pub mod run;
pub mod signals;
pub mod slots;
mod state_file;
pub mod status;
pub mod status_line;
pub mod tail;
pub mod terminal;
mod watch;
mod wiring;

pub use entry::entry;
