//! The sink against real Apache Kafka.

mod bed;
mod contract;
mod failures;
mod fan_out;
mod large;
mod outages;
mod security;
mod topics;
