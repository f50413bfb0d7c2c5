//! Tells people: a webhook, Slack, PagerDuty, a command, the log.
//!
//! A [`Dispatcher`] has a task and a short queue for each [`Channel`], so that one that hangs delays
//! neither another one nor whoever has something to tell: [`Dispatcher::tell`] never waits. What can't
//! be sent is tried again with back-off until something newer is known of the same alert. A
//! [`DeadMansSwitch`] is pinged while all is well, so that somebody else notices when nobody tells
//! anything any more.
//!
//! Addresses of webhooks are secrets: no error, no log line and no `Debug` shows one.
//! What a webhook and a command are given is described in the crate's README.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod channel;
mod client;
mod command;
mod deadman;
mod dispatcher;
mod error;
mod message;
mod pagerduty;
mod queue;
mod slack;

pub use channel::Channel;
pub use client::Client;
pub use command::{Ended, Program};
pub use deadman::DeadMansSwitch;
pub use dispatcher::{Dispatcher, Numbers, Told};
pub use error::SendError;
pub use message::{Message, Severity};
pub use walgate_core::Secret;
