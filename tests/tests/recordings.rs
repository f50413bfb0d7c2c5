//! The journal's commands, recordings, replay and the comparison of configurations, through the
//! program.

mod beds;
mod diff;
mod encrypted;
mod journal;
mod record;
mod replay;
