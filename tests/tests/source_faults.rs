//! The source side of the faults, through the program: crashes and stops of ours, and everything
//! that a server, its network and its administrators do. The numbers are rows of the fault matrix.

mod authentication;
mod crash;
pub(crate) mod failover;
mod history;
mod idle;
pub(crate) mod ledger_bed;
mod limits;
mod network;
mod publication;
mod server;
mod slot;
mod slot_in_use;
mod stop;
