//! The log from a topic of Apache Kafka instead of a slot.
//!
//! A topic that the Kafka sink was given as `stream_topic` has every event in commit order, with the
//! definitions of the tables and the ends of the transactions. [`KafkaSource`] reads it and hands over
//! what PostgreSQL once sent: the same rows under the same positions, so that a pipeline behind it can't
//! tell the difference, and its outputs are the same byte for byte.
//!
//! # What holds
//!
//! - An event whose id is not above the highest so far is dropped: a producer repeats after a crash, and
//!   from any event on, everything behind it in the log comes behind it in the topic. What `rewind`
//!   brings again (the header `walgate-replay`) is dropped too.
//! - Values become PostgreSQL's text again ([`DecodeError`] when they can't): what is lost on the way
//!   is the lower bound of an array, a line break between the tokens of a `json`, and the difference between
//!   SQL's NULL and the `null` of JSON.
//! - What makes no sense ends the source, with topic and offset; it is never passed over.
//! - A topic without events is one that was read to its end: the log of it begins before everything
//!   ([`EMPTY`]).
//! - No consumer group, nothing is committed: where to begin is found by the ids in the topic.
#![forbid(unsafe_code)]

mod clock;
mod consumer;
mod damage;
mod decode_error;
mod decoder;
mod definition;
mod event;
mod find;
mod monitor;
mod options;
mod run;
mod scanner;
mod source;
mod value;

pub use decode_error::DecodeError;
pub use decoder::{EventDecoder, Taken};
pub use find::EMPTY;
pub use monitor::{GatewayMonitor, GatewayState, GatewayStats};
pub use options::{Begin, KafkaSourceOptions};
pub use source::{KafkaSource, Started};
