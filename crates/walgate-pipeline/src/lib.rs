//! One source into many sinks: chains, retry, dead letters, the confirmed position, the checkpoint.
//!
//! A [`Pipeline`] pumps what a [`Source`](walgate_core::Source) hands over into the journal. Each
//! sink has a chain of its own that reads the journal: the [`Assembler`] turns frames into the
//! changes that the sink's [`Selection`] takes, an [`Encoder`](walgate_core::Encoder) appends them
//! to a batch, the [`Sink`](walgate_core::Sink) delivers it. A chain that fails is tried again
//! alone, from what it has delivered; the [`Tracker`] knows where that is and what of it is whole
//! transactions. The least of the required sinks, or what the journal on disk has fsynced
//! ([`ConfirmBy`]), goes into the checkpoint, and when it is there durably, to the source as
//! confirmed.
//!
//! A sink that is given events [again](Rewinds) gets them through a chain of its own, while its chain
//! waits.
//!
//! What this crate does not know: PostgreSQL beyond the form of its messages, formats, and
//! concrete sinks. What is decided (selection, order, what may be confirmed, when to try again) is
//! plain state that takes the time as an argument.
#![forbid(unsafe_code)]

mod again;
mod any_chain;
mod assembler;
mod backlog;
mod chain;
mod checkpoint_file;
mod checkpoint_json;
mod confirm;
mod crossing;
mod dead_letter;
mod dead_letter_file;
mod delivery;
pub mod durable_file;
mod known_tables;
mod options;
mod outage;
mod pattern;
mod pipeline;
mod progress;
mod release;
mod rewind;
mod rewind_file;
mod run;
mod saving;
mod sealed_letter;
mod selection;
mod start;
mod status;
mod stop;
mod streams;
mod tracker;

pub use again::Remake;
pub use assembler::{Assembler, Extras, Place};
pub use backlog::{Backlog, BacklogRead};
pub use checkpoint_file::{
    CheckpointFile, CheckpointStore, checkpoint_of_bytes, checkpoint_to_bytes,
};
pub use dead_letter::{DeadLetter, DeadLetters, SinkDeadLetters, Writing};
pub use dead_letter_file::DeadLetterFile;
pub use options::{BatchOptions, ConfirmBy, ConfirmOptions, PipelineOptions, SinkOptions};
pub use pattern::{ParsePatternError, TablePattern};
pub use pipeline::{End, Outcome, Pipeline};
pub use release::Releases;
pub use rewind::{Accepted, Rewind, RewindTo, Rewinds};
pub use sealed_letter::open_letter;
pub use selection::{Ops, RowFilter, Selection, TableRule};
pub use start::{Log, Lost};
pub use status::{Demand, SinkState, SinkStatus, StatusHandle};
pub use stop::Stop;
pub use streams::{GivenUp, Streams};
pub use tracker::Tracker;
