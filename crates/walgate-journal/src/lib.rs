//! The append-only log of frames between the source and its sinks.
