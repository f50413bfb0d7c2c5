//! The guard of a service that runs: it judges what the eye sees, tells people, and acts by policy.
//!
//! ```text
//! Sight ─▶ Facts ─▶ Guard ─▶ Verdict ─┬▶ Book ─▶ Notice ─▶ Dispatcher ─▶ people
//!                                     └▶ Plan ─▶ Action ─▶ command, pipeline, slot
//! ```
//!
//! It is a task beside the delivery, and never delays it. What decides is pure and in `walgate-slot`.

mod acting;
mod book_file;
mod dropping;
mod facts;
mod releasing;
mod saying;
mod settings;
mod task;

pub(crate) use dropping::{Dropping, End, drop_our_slot};
pub(crate) use releasing::Releasing;
pub(crate) use saying::now;
pub(crate) use settings::{Channels, Settings, source_name};
pub(crate) use task::{Actions, GuardTask};
