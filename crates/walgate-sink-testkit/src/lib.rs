//! What every sink must pass, and a sink that fails by script.
//!
//! A sink's own tests implement [`contract::Rig`] for its destination and call each
//! function of [`contract`].
//! The pipeline's tests use [`ScriptedSink`], which can reject, fail after it wrote, hold and be
//! slow, call by call.
#![forbid(unsafe_code)]

pub mod contract;
mod events;
mod scripted;

pub use events::{batch, event, position};
pub use scripted::{Fault, Script, ScriptedSink};
