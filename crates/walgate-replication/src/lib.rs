//! The session with PostgreSQL: start, frames in batches, feedback, reconnect.
//!
//! [`PostgresSource`] reads a logical replication slot and hands over
//! [`Frames`](walgate_core::Frames). The way of the bytes:
//!
//! ```text
//! socket ─▶ buffer ─▶ sequencer ─▶ Frames            session   (the caller's task)
//! socket ◀─ reporter ◀─ feedback ◀─ confirmed        reporter  (a task that nothing blocks)
//! SQL    ◀─▶ companion: facts, publications          companion (a task)
//! ```
//!
//! `source` keeps what lasts longer than a connection, `start` makes one, `session` reads it.
//! What decides anything is pure and takes `now` as an argument: `pace`, `feedback`,
//! `outage`, `verdict`, `classify`, `sequencer`, `unstreamed`, `buffer`.
//!
//! # Positions
//!
//! reported ≤ confirmed ≤ resume ≤ received. `confirmed` is what the caller holds durably; the
//! server is told nothing else. `resume` is the end of the last whole transaction that was handed
//! on; the next connection starts there.
//!
//! # Streamed transactions
//!
//! With [`StreamTransactions::On`] the server sends large transactions while they run, and the
//! source hands them on as [`Streamed`](walgate_core::Streamed): whoever takes it keeps a spool for
//! each, and a transaction has positions only from its commit on. They hold back neither `resume`
//! nor `confirmed`: after a disconnect the server sends them again from their begin.
//!
//! What the stream can't tell, what is too large to be kept, and what the server can't stream
//! (errors that only streaming has exist in 14 to 18) comes after its commit instead: the source makes a new connection without streaming, and another one with it once that
//! transaction has passed. That is known when its commit was read, or when it had ended, by the
//! server's word, before a position that is behind us; the server is asked every 30 s. It is done
//! at the earliest 10 s after, and twice as long after each further time within the hour, at most
//! 10 minutes. A connection that has to be made anyway streams as soon as the transaction has
//! passed. None of this is remembered over a restart: then it is found out again.
//!
//! # Values in binary form
//!
//! With [`BinaryValues::Auto`] the server is asked for values in binary form when the catalog shows that
//! each published column has a type that `walgate-binary` can read. `transcript` makes of each run, before
//! the sequencer sees it, the bytes that the server would have sent as text: nothing behind it knows the
//! difference. A relation with a type that the catalog did not have at the start, or a value without a certain
//! text, ends the connection. The next one begins behind the last whole transaction, and asks for text
//! unless the catalog explains the type by then; one that begins further on looks at it again.

mod binary_types;
mod buffer;
mod catalog;
mod classify;
mod commands;
mod companion;
mod config;
mod definition;
mod facts;
mod feedback;
mod heartbeat;
mod low_water;
mod monitor;
mod outage;
pub mod own_publication;
mod pace;
mod publication;
mod reporter;
mod sequence_error;
mod sequencer;
mod session;
mod slot;
mod slot_creation;
mod source;
mod sql;
mod start;
mod synchrony;
mod table_identity;
mod table_snapshot;
mod transcript;
mod trouble;
mod unstreamed;
mod verdict;

pub use config::{
    BinaryValues, OnGap, OnMissingTable, OnTooLarge, PublicationMode, SlotConfig, SlotMode,
    SourceConfig, StopAtLsn, StreamBounds, StreamTransactions, TableName, Waiting, WholeBefore,
};
pub use heartbeat::{HeartbeatState, heartbeat};
pub use low_water::set as set_low_water;
pub use monitor::{SourceCounters, SourceMonitor, SourceState};
pub use own_publication::OwnPublications;
pub use source::{PostgresSource, Started};
pub use sql::PINNED_SETTINGS;
pub use table_identity::{TableIdentity, all as publishable_tables};
pub use table_snapshot::{
    RowBatch, SnapshotMoment, SnapshotTrouble, SnapshotTroubleKind, TableSnapshot,
};
