//! The sink against real Apache Kafka.

mod batches;
mod bed;
mod checkpoint;
mod contract;
mod failures;
mod fan_out;
mod large;
mod outages;
mod preflight;
mod security;
mod topics;
