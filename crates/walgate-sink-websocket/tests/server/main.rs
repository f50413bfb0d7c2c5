//! The server over real sockets: what clients do to it, and what it does then.

mod bed;
mod beginnings;
mod endurance;
mod frames;
mod handshakes;
mod resources;
mod resuming;
mod snapshots;
mod tokens;
mod wire;
