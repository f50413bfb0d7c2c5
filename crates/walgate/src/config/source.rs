//! `[source]`: the database.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Period, Secret, Size, SlotName, TablePattern};

/// The database that changes are read from.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Source {
    /// Where the database is, as libpq takes it: a URL, or `host=… user=…`. What it leaves out comes
    /// from the PG* environment variables, then from ~/.pgpass. TLS is configured here too
    /// (sslmode, sslrootcert, sslcert, sslkey).
    #[schemars(extend(
        "x-url" = true,
        "x-active" = true,
        "examples" = ["postgres://walgate@db.example.com:5432/shop?sslmode=verify-full"]
    ))]
    pub url: Option<Secret>,
    /// A program and its arguments, run without a shell for every new connection; the first line
    /// that it prints is the password. For tokens that expire (RDS IAM) and rotated secrets.
    #[schemars(length(min = 1), extend("examples" = [["aws", "rds", "generate-db-auth-token", "--hostname", "db.example.com", "--port", "5432", "--username", "walgate"]]))]
    pub password_command: Option<Vec<String>>,
    /// The replication slot. One Walgate uses one slot.
    #[schemars(extend("x-active" = true))]
    pub slot: SlotName,
    /// Create the slot when it is missing and the state folder knows of none. A slot that was there
    /// and has gone is never created again silently: changes would be missing.
    pub create_slot: bool,
    /// Have the slot follow to standbys, so that it survives a failover (PostgreSQL 17 and up).
    /// Only for a slot that is created here.
    pub failover: bool,
    /// The publications to read. Any name that PostgreSQL takes; it is quoted where needed.
    #[schemars(length(min = 1), extend("x-active" = true))]
    pub publications: Vec<String>,
    /// Whether the publication is only checked, or created and kept as `tables` says.
    pub publication_mode: PublicationMode,
    /// Tables, `schema.table`: with `manage` those to publish; with `verify` those that must be
    /// published, and nothing is checked when it is empty.
    #[schemars(extend("examples" = [["public.orders", "public.customers"]]))]
    pub tables: Vec<TablePattern>,
    /// What to do when a table of `tables` is no longer published: `DROP TABLE` and `CREATE TABLE`
    /// take it out without an error.
    pub on_missing_table: OnMissingTable,
    /// Number of the source, 0 to 255: raise it when the source is replaced by a system whose LSNs
    /// start elsewhere (restore, migration, blue/green), so that event ids go on growing.
    pub epoch: u8,
    /// What to do when changes are missing: the slot is ahead of what was delivered, or the server
    /// went back to another history.
    pub on_gap: OnGap,
    /// How often the server hears from Walgate; at most a third of `wal_sender_timeout`.
    #[schemars(extend("x-min" = "100ms", "x-max" = "10m"))]
    pub status_interval: Period,
    /// `wal_sender_timeout` of Walgate's own connection; the server's when it is not set.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h", "examples" = ["60s"]))]
    pub wal_sender_timeout: Option<Period>,
    /// How long the creation of a slot waits for older transactions before it tries again.
    #[schemars(extend("x-min" = "100ms", "x-max" = "1h"))]
    pub lock_timeout: Period,
    /// `logical_decoding_work_mem` of Walgate's own connection: what the server holds in memory of
    /// the transactions in progress before it writes them to its disk. The server's when not set.
    #[schemars(extend("x-min" = "64KiB", "x-max" = "1TiB", "examples" = ["256MiB"]))]
    pub logical_decoding_work_mem: Option<Size>,
    /// Whether the server is asked for values in binary form: Walgate prints them then, and not the
    /// server. What is delivered is the same, byte for byte.
    pub binary: Binary,
    /// Write a small transactional message this often, and see that it comes back: it proves the way
    /// from a commit to Walgate also while nobody changes anything. It is never delivered. The role
    /// needs the right to call pg_logical_emit_message; off on a standby, and when not set. No slot
    /// needs it to advance.
    #[schemars(extend("x-min" = "1s", "x-max" = "1h", "examples" = ["30s"]))]
    pub heartbeat: Option<Period>,
    /// The largest row that is taken; a larger one stops Walgate and names the table. One row comes
    /// on top of the journal's memory.
    #[schemars(extend("x-min" = "8KiB", "x-max" = "1GiB"))]
    pub max_row: Size,
}

/// What is done about the publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PublicationMode {
    /// it must be there, with the tables of `tables`
    Verify,
    /// it is created when missing, and tables of `tables` are added; nothing is ever taken out
    Manage,
}

/// What is done about a table that is no longer published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissingTable {
    /// log a warning and go on
    Warn,
    /// stop, with exit code 2
    Stop,
}

/// What is done about missing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnGap {
    /// stop, with exit code 4
    Stop,
    /// write a `gap` event to every sink and go on behind it
    Continue,
}

/// When values are asked for in binary form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Binary {
    /// when each published column has a type whose binary form is known
    Auto,
    /// never: values come as text
    Off,
}

impl Default for Source {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant that a test reads")]
        let slot = "walgate".parse().expect("the default is a slot's name");
        Self {
            url: None,
            password_command: None,
            slot,
            create_slot: true,
            failover: false,
            publications: vec!["walgate".to_owned()],
            publication_mode: PublicationMode::Verify,
            tables: Vec::new(),
            on_missing_table: OnMissingTable::Stop,
            epoch: 0,
            on_gap: OnGap::Stop,
            // PostgreSQL's own wal_receiver_status_interval.
            status_interval: Period::seconds(10),
            wal_sender_timeout: None,
            lock_timeout: Period::seconds(30),
            logical_decoding_work_mem: None,
            // It has not been seen to spare the server what it costs here.
            binary: Binary::Off,
            heartbeat: None,
            // Far over any sane row and far under the gigabyte that PostgreSQL allows.
            max_row: Size::mib(256),
        }
    }
}
