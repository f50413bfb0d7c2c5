//! The source against real servers, and against a server that says what a test wants.

mod bed;
mod binary;
mod facts;
mod gaps;
mod keyed;
mod outages;
mod own_publications;
mod publications;
mod scripted;
mod spool;
mod streamed;
mod streaming;
