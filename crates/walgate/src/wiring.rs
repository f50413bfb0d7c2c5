//! From what is configured to an engine that runs: the one place that knows every part.

mod begin;
mod engine;
mod journal;
mod kafka;
mod keys;
mod memory;
mod progress;
mod push;
mod push_keys;
mod recording;
mod screen;
mod selection;
mod sinks;
mod snapshot;
mod source;

pub(crate) use begin::{Begin, Begun, Origin};
pub(crate) use engine::{Engine, Finish, beat, block_on, on_worker};
pub(crate) use journal::{Keeping, blocking, facts};
pub(crate) use kafka::{
    connection as kafka_cluster, gateway as gateway_source, kafka as kafka_config,
};
pub(crate) use keys::{JournalKeys, configured_keys};
pub(crate) use memory::{Memory, remembered, unless_replaced};
pub(crate) use push::{MakeEncoder, Opening, Push, tls_files as push_tls};
pub(crate) use recording::{Cut, Piece, Range, Recording, RecordingSource, Walk, clock, cut};
pub(crate) use screen::Screen;
pub(crate) use selection::{operation, patterns};
pub(crate) use sinks::{Added, Known, add_sink, add_sinks, encoder, options};
pub(crate) use source::{connection, source_config, streaming};
