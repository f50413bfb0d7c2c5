//! `[journal]`: where changes wait.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, Size};

/// Where changes wait between the database and the sinks: in memory, and with `path` on disk, which
/// takes the database's log over while a sink is down.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Journal {
    /// Memory for changes that wait for a sink. Without `path`: when a required sink lets it fill,
    /// reading from the database pauses and the slot holds the rest back; an optional sink loses its
    /// place instead.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1TiB"))]
    pub memory: Size,
    /// Folder of the journal on disk; created when missing, used by one Walgate at a time, with
    /// nothing else in it. A relative path starts at the folder of the configuration file. Everything
    /// below needs it.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/var/lib/walgate/journal"]))]
    pub path: Option<PathBuf>,
    /// What PostgreSQL is told that it may forget.
    pub confirm: ConfirmBy,
    /// The longest time for which a change is not fsynced yet. PostgreSQL keeps it until then.
    #[schemars(extend("x-min" = "1ms", "x-max" = "10s"))]
    pub sync_every: Period,
    /// As many bytes are fsynced at once, before their time.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "1GiB"))]
    pub sync_bytes: Size,
    /// Size of a file of the journal. Space is given back file by file.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1GiB"))]
    pub segment: Size,
    /// How a file is compressed once it is full; a thread of low priority does it.
    pub compression: JournalCompression,
    /// A file of keys that encrypt the journal: one on each line, 32 bytes in hexadecimal or base64
    /// (openssl rand -hex 32). The last is the newest, and encrypts; the others open what they have
    /// encrypted. Without the key nothing of it can ever be read again.
    #[schemars(with = "Option<String>", length(min = 1), extend("examples" = ["/etc/walgate/journal.keys"]))]
    pub encryption_key_file: Option<PathBuf>,
    /// A program and its arguments, run without a shell at the start; it prints what the file would
    /// hold.
    #[schemars(length(min = 1), extend("examples" = [["vault", "kv", "get", "-field=keys", "secret/walgate"]]))]
    pub encryption_key_command: Option<Vec<String>>,
    /// Whether what is written is encrypted, when there are keys: false only reads what is.
    pub encrypt: bool,
    /// What is kept for replay beyond what a required sink lacks, in bytes. It gives way before
    /// anything else.
    #[schemars(extend("x-min" = "0B", "x-max" = "1024TiB"))]
    pub replay_bytes: Size,
    /// What is kept for replay is not older than this.
    #[schemars(extend("x-min" = "0s", "x-max" = "3650d"))]
    pub replay_age: Period,
    /// What the journal may take of the disk; the smaller of 20 GiB and half of the file system when
    /// it is not set.
    #[schemars(extend("x-min" = "8MiB", "x-max" = "1024TiB", "examples" = ["100GiB"]))]
    pub budget: Option<Size>,
    /// The part of the file system that stays free, in percent.
    #[schemars(range(max = 90))]
    pub keep_free: u8,
    /// What to do when the journal is full because a required sink is behind.
    pub on_full: OnFull,
    /// The sinks that `on_full = "release-sink"` may release, in this order.
    #[schemars(extend("examples" = [["kafka"]]))]
    pub release: Vec<String>,
    /// That a required sink may lose changes: `on_full = "release-sink"` does nothing without it.
    pub allow_data_loss: bool,
    /// Have large transactions sent while they run (PostgreSQL 14 and up), so that the server writes
    /// none of them to its own disk; until they commit they wait in files beside the journal.
    pub streaming: bool,
    /// The largest transaction that is taken while it runs.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1024TiB"))]
    pub max_transaction: Size,
    /// Memory for all transactions that run, together. One that fits touches no disk before it
    /// commits.
    #[schemars(extend("x-min" = "0B", "x-max" = "1TiB"))]
    pub spool_memory: Size,
    /// What all transactions that run may take of the disk together; half of the journal's budget
    /// when it is not set.
    #[schemars(extend("x-min" = "1MiB", "x-max" = "1024TiB", "examples" = ["10GiB"]))]
    pub spool_budget: Option<Size>,
    /// What to do when a transaction that runs is larger than that, or the disk has no room for it.
    pub on_large_transaction: OnLargeTransaction,
    /// What to do when the disk has damaged something that PostgreSQL no longer has.
    pub on_damage: OnDamage,
}

/// What PostgreSQL is told that it may forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConfirmBy {
    /// what the journal has fsynced: a sink that is down holds no log on the server; the disk has to
    /// survive the machine
    Fsync,
    /// what every required sink holds: the journal is only read again from, for a disk that may get
    /// lost
    Sinks,
}

/// How full files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JournalCompression {
    /// they stay as they were written
    None,
    /// Zstandard: a quarter of the space for rows of nine columns, and 0.7 s of a processor for a
    /// million changes
    Zstd,
}

/// What is done when the journal is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// stop reading: the slot holds the rest back, as without a journal on disk
    Hold,
    /// let the first sink of `release` that is in the way lose what it lacks, with a `gap` event
    ReleaseSink,
}

/// What is done about a transaction that is too large to be kept while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnLargeTransaction {
    /// connect again and have it sent when it has committed: until then the server keeps it, on its
    /// own disk
    Unstream,
    /// stop, with exit code 7 and the transaction and its tables named
    Stop,
}

/// What is done about damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDamage {
    /// stop, with exit code 7 and the file and the positions named
    Stop,
    /// write a `gap` event to the sinks that lack it, and go on behind it
    Gap,
}

impl Journal {
    /// Whether what is fsynced here is confirmed, whatever the sinks have.
    pub fn confirms(&self) -> bool {
        self.path.is_some() && self.confirm == ConfirmBy::Fsync
    }
}

/// Whether large transactions are sent while they run, unless the configuration says otherwise.
const STREAMING: bool = true;

impl Default for Journal {
    fn default() -> Self {
        Self {
            // Ten seconds of a busy source. More only hides a slow sink for longer, and costs: a backlog
            // went into Kafka 1.2 times as fast through 16 MiB as through 64, which no cache holds.
            memory: Size::mib(16),
            path: None,
            confirm: ConfirmBy::Fsync,
            // Twenty fsyncs a second are little for any disk, and little log waits on the server.
            sync_every: Period::milliseconds(50),
            sync_bytes: Size::mib(4),
            segment: Size::mib(64),
            // Processor time is dearer than space to many, and nobody has to decompress what they
            // have not asked for.
            compression: JournalCompression::None,
            encryption_key_file: None,
            encryption_key_command: None,
            encrypt: true,
            replay_bytes: Size::mib(1024),
            replay_age: Period::seconds(24 * 60 * 60),
            budget: None,
            keep_free: 10,
            on_full: OnFull::Hold,
            release: Vec::new(),
            allow_data_loss: false,
            streaming: STREAMING,
            // Forty million rows of 100 bytes.
            max_transaction: Size::mib(4096),
            spool_memory: Size::mib(8),
            spool_budget: None,
            on_large_transaction: OnLargeTransaction::Unstream,
            on_damage: OnDamage::Stop,
        }
    }
}
