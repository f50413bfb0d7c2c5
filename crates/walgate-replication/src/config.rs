//! What a source is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use walgate_connection::ConnectionConfig;
use walgate_core::{Failure, Lsn, Position};

use crate::SourceMonitor;

/// Where the log comes from, and how it is read. The fields are filled by whoever has a
/// configuration; [`SourceConfig::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// How to reach the server.
    pub connection: ConnectionConfig,
    /// The slot.
    pub slot: SlotConfig,
    /// The publications, by name, as PostgreSQL has them: not quoted.
    pub publications: Vec<String>,
    /// Whether the publications are ours to change.
    pub publication_mode: PublicationMode,
    /// Tables that are configured by name, and must therefore be published. May be empty.
    pub tables: Vec<TableName>,
    /// What happens when a configured table leaves the publications while we run.
    pub on_missing_table: OnMissingTable,
    /// The epoch of the source: the upper digits of each position. Raised by hand when the source
    /// is replaced by a system whose LSNs start elsewhere.
    pub epoch: u8,
    /// Between two status messages at most; also never more than a third of `wal_sender_timeout`.
    pub status_interval: Duration,
    /// Sets `wal_sender_timeout` on our connection. None leaves the server's.
    pub wal_sender_timeout: Option<Duration>,
    /// Sets `logical_decoding_work_mem` on our connection, in kibibytes.
    pub logical_decoding_work_mem_kib: Option<u32>,
    /// How long the creation of a slot waits for older transactions before it tries again.
    pub lock_timeout: Duration,
    /// Where to stop: everything that commits up to it is handed over, then
    /// [`Feed::End`](walgate_core::Feed::End). A transaction that commits behind it is not.
    pub stop_at: Option<StopAtLsn>,
    /// Where to start, instead of where the slot is. Below what the slot has confirmed it is
    /// refused.
    pub start_at: Option<Lsn>,
    /// Confirm nothing: the slot stays where it is.
    pub peek: bool,
    /// The highest position that a destination says it holds, where one can tell. A server whose
    /// log does not hold it is refused: what it sends would be taken for what is there already.
    pub held: Option<Position>,
    /// The same of what waits here and was not handed on: where the server's history has parted
    /// from it, it can be given up.
    pub waiting: Option<Waiting>,
    /// What happens when changes are lost.
    pub on_gap: OnGap,
    /// Whether a server that can't be reached at the start is waited for.
    pub wait_at_start: bool,
    /// The longest message that is taken, in bytes. It comes on top of every other budget. At
    /// most [`SourceConfig::MAX_ROW_LIMIT`].
    pub max_row: usize,
    /// What one read brings at most, in bytes.
    pub read_buffer: usize,
    /// Whether large transactions are asked for while they run.
    pub streaming: StreamTransactions,
    /// Whether values are asked for in binary form.
    pub binary: BinaryValues,
    /// Where the source says what it does: whoever keeps a clone can look from before the start.
    pub monitor: SourceMonitor,
}

impl SourceConfig {
    /// PostgreSQL builds a message in memory of at most 1 GiB.
    pub const MAX_ROW_LIMIT: usize = 1 << 30;

    /// The defaults.
    pub fn new(connection: ConnectionConfig, slot: SlotConfig, publications: Vec<String>) -> Self {
        Self {
            connection,
            slot,
            publications,
            publication_mode: PublicationMode::Verify,
            tables: Vec::new(),
            on_missing_table: OnMissingTable::Stop,
            epoch: 0,
            status_interval: Duration::from_secs(10),
            wal_sender_timeout: None,
            logical_decoding_work_mem_kib: None,
            lock_timeout: Duration::from_secs(30),
            stop_at: None,
            start_at: None,
            peek: false,
            held: None,
            waiting: None,
            on_gap: OnGap::Stop,
            wait_at_start: true,
            // A quarter of what PostgreSQL can build; a row of that size is an accident.
            max_row: 256 << 20,
            // At 64 KiB a wake-up and more, so that a busy consumer finds a full one.
            read_buffer: 1 << 20,
            streaming: StreamTransactions::Off,
            binary: BinaryValues::Off,
            monitor: SourceMonitor::new(),
        }
    }
}

/// Log that waits here for its destinations.
#[derive(Clone)]
pub struct Waiting {
    /// Nothing of it lies behind this position.
    pub newest: Position,
    /// The end of the last whole transaction up to which it would be left if nothing of it may lie
    /// behind an LSN; none where it can't be cut there. Blocks.
    pub whole_before: WholeBefore,
}

/// As [`Waiting::whole_before`].
pub type WholeBefore = Arc<dyn Fn(Lsn) -> Result<Option<Lsn>, Failure> + Send + Sync>;

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = &self.newest;
        f.debug_struct("Waiting")
            .field("newest", newest)
            .finish_non_exhaustive()
    }
}

/// Whether large transactions are asked for while they run.
///
/// Without it the server writes a transaction larger than `logical_decoding_work_mem` to its own
/// disk until it commits. With it the server sends it as it grows, and whoever takes
/// [`Feed::Streamed`](walgate_core::Feed::Streamed) keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamTransactions {
    /// Every transaction comes after its commit.
    #[default]
    Off,
    /// Large ones come while they run, up to these bounds.
    On(StreamBounds),
}

/// Whether values are asked for in binary form. Whatever is asked for, the frames are the same.
///
/// It spares the server the output functions of the types, and costs us what it takes to print the
/// values here. Measured over TCP on rows of numbers, short texts and jsonb it saves the walsender
/// nothing that can be told from noise, and doubles what the source takes of our processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BinaryValues {
    /// When each published column has a type whose binary form is known, and the slot outlasts a
    /// connection.
    Auto,
    /// Never.
    #[default]
    Off,
}

/// How much of streamed transactions may be kept, in bytes of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamBounds {
    /// One transaction.
    pub max_transaction: u64,
    /// All that are open, together.
    pub max_together: u64,
    /// What happens beyond.
    pub on_too_large: OnTooLarge,
}

impl Default for StreamBounds {
    /// Four gigabytes for one, eight together: a table of forty million rows of 100 bytes that is
    /// rewritten at once.
    fn default() -> Self {
        Self {
            max_transaction: 4 << 30,
            max_together: 8 << 30,
            on_too_large: OnTooLarge::Unstream,
        }
    }
}

/// What happens when a streamed transaction has become too large. It is never waited for: the
/// commit or roll-back that frees the space would never be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTooLarge {
    /// Connect again without streaming until it has passed: the server keeps it.
    #[default]
    Unstream,
    /// Stop.
    Stop,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotConfig {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub mode: SlotMode,
    /// Let standbys have a copy (17 and later; only for a slot that we create and that is not
    /// temporary).
    pub failover: bool,
}

/// Where a slot comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotMode {
    /// It exists.
    Existing,
    /// It is created when there is neither a slot nor a checkpoint.
    CreateIfMissing,
    /// It is created for this connection and ends with it.
    Temporary,
}

/// Whether the publications are ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublicationMode {
    /// Look only. What is missing is named, with the command.
    #[default]
    Verify,
    /// Create what is missing and add configured tables, one at a time. Nothing is ever taken out.
    Manage,
}

/// What happens when a configured table is not published any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissingTable {
    /// Stop, so that it is noticed.
    #[default]
    Stop,
    /// Warn and go on with the others.
    Warn,
}

/// What happens when changes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnGap {
    /// Stop.
    #[default]
    Stop,
    /// Announce the gap and go on behind it.
    Continue,
}

/// Where to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAtLsn {
    /// A position.
    Lsn(Lsn),
    /// Where the log ends as we start.
    Now,
}

/// A table by its schema and name, as PostgreSQL has them: not quoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: String,
}

impl TableName {
    /// From its parts.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// As SQL, each part quoted.
    pub fn quoted(&self) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.schema),
            quote_identifier(&self.name)
        )
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// An identifier as SQL, always quoted.
pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL or as an option of a replication command: both double the quote. Only for texts
/// without backslashes, or where `standard_conforming_strings` is pinned on.
pub(crate) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
