//! The sink and data side of the faults, through the program: what arrives, what is refused and
//! what happens while a destination is away. The numbers are rows of the fault matrix.

mod bed;
mod kafka_format;
mod refused_rows;
mod schema_changes;
mod topics;
