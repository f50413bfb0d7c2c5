//! The log on disk, rule by rule, on a disk that fails on demand.
#![expect(clippy::expect_used, reason = "a test that can't go on says so")]

mod appending;
mod encryption;
mod forks;
mod looking;
mod packing;
mod recovery;
mod retaining;
mod rig;
mod runs;
mod spools;
mod writing;
