//! Changes to browsers and terminals, as they happen.
//!
//! A chain of the pipeline ends here in many connections, over WebSocket or as Server-Sent Events.
//!
//! - The encoder ([`PushEncoder`]) decides on a frame's bytes whom a change concerns (`matcher`, [`filter`])
//!   and encodes it once for each choice of columns. Connections that want the same are one *interest*.
//! - The sink ([`PushSink`]) frames each event once and puts the same bytes into the queues of all
//!   connections that get it (`hub`, `chunk`, `queue`). It never waits: who reads too slowly is sent
//!   away, with the position to resume from.
//! - A connection (`feed`) is first given what it missed, from the journal ([`History`]) and at its own
//!   pace, and then what comes. Both are joined at one position, under the hub's lock.
//! - `websocket` and `event_stream` put that on the line, and `session` knows what the client wants.
//!
//! `PROTOCOL.md` beside this crate is the contract for clients, `FILTERS.md` that of row filters.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod access;
mod admission;
mod bounds;
mod chunk;
mod close;
#[cfg(test)]
mod contract_tests;
mod cookie;
mod cors;
mod counters;
mod encoder;
mod event_stream;
mod feed;
pub mod filter;
mod frame;
mod handed;
mod handshake;
mod history;
mod hub;
#[cfg(test)]
mod idle_tests;
mod interest;
mod matcher;
#[cfg(test)]
mod model_tests;
mod options;
mod page;
mod parcel;
mod patient;
mod protocol;
mod queue;
mod replay;
mod resources;
mod seats;
mod server;
mod session;
mod since;
mod sink;
mod snapshot;
mod subjects;
mod subscription;
mod table_pattern;
mod websocket;

pub use access::{
    CertificateSubject, Claims, Guard, Jwt, JwtAlgorithm, JwtKeys, JwtRefusal, KeySet,
    MAX_KEY_SET_BYTES, Policy, Rule, RuleText, Token,
};
pub use encoder::PushEncoder;
pub use history::{Backlog, History, Read};
pub use options::{Certificate, PushOptions, SourceView};
pub use queue::QueueLimits;
pub use server::{PushMonitor, PushServer, PushStats};
pub use sink::PushSink;
pub use snapshot::{
    Moment, RowReader, Snapshot, SnapshotError, SnapshotErrorKind, SnapshotFuture, SnapshotLimits,
    Snapshots, WantedTables,
};
