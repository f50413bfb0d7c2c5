//! The slot manager's eyes: what the replication slots of a server hold back, why, and until when.
//!
//! [`Watcher`] asks a server over one ordinary connection, with one prepared query for each look, and
//! gives an [`Observation`]. Everything that decides is pure and takes `now` as an argument:
//!
//! - [`History`] keeps samples of 24 hours in bounded memory: rates of the write-ahead log, the trend
//!   of each slot, and when the log passed a position;
//! - [`forecast()`] says how much room is left, and two times: until it is used up at the present
//!   trend, and *if the consumer stopped now*. Bursts above any rate seen are excluded;
//! - [`culprit()`] says in one sentence why log is held back, with the fix;
//! - [`guard`] judges all of it by rules: levels, alerts over time, and what is done by policy.
//!
//! [`check`] judges whether a server is ready.
//!
//! Nothing here waits on a lock for longer than [`Watcher`] says, needs more than the right to
//! connect, or changes a server; [`manage`] is the exception, and has the safeties that it needs.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod cause;
pub mod check;
mod culprit;
mod error;
mod forecast;
pub mod guard;
mod history;
pub mod manage;
mod observation;
mod query;
mod setting;
mod track;
mod watcher;
pub mod words;

pub use cause::{Cause, Culprit, LOOK_AT_PRIMARY, OpenTransaction, StandbyFault};
pub use culprit::{OurSink, OurSlot, Scene, culprit};
pub use error::{WatchError, WatchErrorKind};
pub use forecast::{Danger, Forecast, Headroom, Limit, Limits, NEAR, TimeLeft, forecast};
pub use history::{HOUR, History, KeptError, Lag, MINUTE, QUARTER, Rate};
pub use observation::{
    Database, LongAverage, Observation, PreparedTransaction, Settings, Slot, SlotStatistics,
    Transaction, Walsender,
};
pub use watcher::{Provider, Server, Watcher};
