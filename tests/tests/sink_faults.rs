//! The sink and data side of the faults, through the program: what arrives, what is refused and
//! what happens while a destination is away. The numbers are rows of the fault matrix.

pub(crate) mod brief;
mod broker_outages;
mod kafka_format;
mod missing_topics;
mod outputs;
pub(crate) mod refused_rows;
mod schema_changes;
mod signals;
mod state_folder;
pub(crate) mod topics;
