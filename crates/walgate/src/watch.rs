//! The eye of a service that runs: on the server's slots, and on itself.
//!
//! ```text
//! server ──Watcher──▶ looker ──View──▶ ┐
//! source, sinks, journal ──▶ Instance ─┴▶ Sight ─▶ whoever shows it, judges it, or acts
//! ```
//!
//! [`Watch`] is a task beside the delivery: it connects by itself, looks at an interval, and is never a
//! reason for the process to end or to wait. What the process knows of itself is in [`Instance`], from
//! before the slot is touched until the last checkpoint is written; a [`Sight`] joins both at one
//! moment.

mod free_space;
mod instance;
mod kept;
mod looker;
mod ours;
mod pulse;
mod readiness;
mod sight;
mod view;

pub(crate) use instance::{Firing, Instance, Moment, Shown, SinkSight};
pub(crate) use looker::{Watch, WatchOptions};
pub(crate) use pulse::Pulse;
pub(crate) use readiness::readiness;
pub(crate) use sight::{Blind, Looks, Sight};
pub(crate) use view::{SlotSight, View};
