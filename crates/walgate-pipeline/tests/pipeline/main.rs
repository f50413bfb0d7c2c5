//! The pipeline from a scripted source into scripted sinks.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that can't go on says so"
)]

mod bench;
mod ending;
mod failing;
mod flow;
mod line_encoder;
mod log;
mod model;
mod on_disk;
mod rewinding;
mod scripted_sink;
mod scripted_source;
mod selecting;
mod stored;
