//! Connections to real servers, and to scripted ones that do what a real server would not.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod authentication;
mod encryption;
mod hostile;
mod replication;
mod scripted;
mod server;
mod several_hosts;
mod sql;
