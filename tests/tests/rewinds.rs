//! A sink that runs gets again what the journal retains, through the program: `walgate rewind`, and
//! `walgate replay` into Kafka.

mod beds;
mod kafka;
mod refused;
mod replay;
