//! The session with PostgreSQL: start, frames in batches, feedback, reconnect.
//!
//! [`PostgresSource`] reads a logical replication slot and hands over
//! [`Frames`](walgate_core::Frames). The way of the bytes:
//!
//! ```text
//! socket ─▶ buffer ─▶ sequencer ─▶ Frames            session   (the caller's task)
//! socket ◀─ reporter ◀─ feedback ◀─ confirmed        reporter  (a task that nothing blocks)
//! SQL    ◀─▶ companion: facts, publications          companion (a task)
//! ```
//!
//! `source` keeps what lasts longer than a connection, `start` makes one, `session` reads it.
//! What decides anything is pure and takes `now` as an argument: `pace`, `feedback`,
//! `outage`, `verdict`, `classify`, `sequencer`, `buffer`.
//!
//! # Positions
//!
//! reported ≤ confirmed ≤ resume ≤ received. `confirmed` is what the caller holds durably; the
//! server is told nothing else. `resume` is the end of the last whole transaction that was handed
//! on; the next connection starts there.

mod buffer;
mod catalog;
mod classify;
mod commands;
mod companion;
mod config;
mod definition;
mod facts;
mod feedback;
mod low_water;
mod monitor;
mod outage;
pub mod own_publication;
mod pace;
mod publication;
mod reporter;
mod sequence_error;
mod sequencer;
mod session;
mod slot;
mod slot_creation;
mod source;
mod sql;
mod start;
mod synchrony;
mod table_identity;
mod trouble;
mod verdict;

pub use config::{
    OnGap, OnMissingTable, PublicationMode, SlotConfig, SlotMode, SourceConfig, StopAtLsn,
    TableName,
};
pub use monitor::{SourceCounters, SourceMonitor, SourceState};
pub use own_publication::OwnPublications;
pub use source::{PostgresSource, Started};
pub use sql::PINNED_SETTINGS;
pub use table_identity::{TableIdentity, all as publishable_tables};
