//! How connections are opened: the settings that go with the start-up packet.

use walgate_connection::{ConnectError, ReplicationStream, SqlClient};

use crate::catalog::Server;
use crate::config::SourceConfig;

/// A database whose text has no encoding.
const NO_ENCODING: &str = "SQL_ASCII";

/// What the format of events depends on: nothing that is set on a database or a role may change
/// the output. FORMAT.md, "Values".
pub const PINNED_SETTINGS: &[(&str, &str)] = &[
    ("DateStyle", "ISO"),
    ("IntervalStyle", "iso_8601"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("search_path", ""),
    ("quote_all_identifiers", "off"),
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
];

/// For what is asked beside the stream: an answer that takes longer is none, and a lock on a table
/// must not wait behind a migration while the application waits behind us.
const SQL_SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "10s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("default_transaction_read_only", "off"),
];

/// Opens a connection for SQL.
pub(crate) async fn connect(config: &SourceConfig) -> Result<SqlClient, ConnectError> {
    let settings: Vec<_> = PINNED_SETTINGS
        .iter()
        .chain(SQL_SETTINGS)
        .copied()
        .collect();
    config.connection.connect_sql(&settings).await
}

/// Opens a connection for replication, with the settings that are ours to choose on it.
pub(crate) async fn connect_replication(
    config: &SourceConfig,
    server: &Server,
) -> Result<ReplicationStream, ConnectError> {
    let lock_timeout = format!("{}ms", config.lock_timeout.as_millis());
    let sender_timeout = config
        .wal_sender_timeout
        .map(|time| format!("{}ms", time.as_millis()));
    let work_mem = config
        .logical_decoding_work_mem_kib
        .map(|kib| format!("{kib}kB"));
    let mut settings = PINNED_SETTINGS.to_vec();
    // statement_timeout does not apply to CREATE_REPLICATION_SLOT; lock_timeout does.
    settings.extend([
        ("lock_timeout", lock_timeout.as_str()),
        ("statement_timeout", "0"),
    ]);
    settings.extend(
        sender_timeout
            .as_deref()
            .map(|value| ("wal_sender_timeout", value)),
    );
    settings.extend(
        work_mem
            .as_deref()
            .map(|value| ("logical_decoding_work_mem", value)),
    );
    if server.encoding == NO_ENCODING {
        // The server could not convert, but would refuse rows that are not UTF-8, for ever and
        // without a word about their table. The encoder names table and column, and has a place
        // for such rows.
        settings.push(("client_encoding", NO_ENCODING));
    }
    config.connection.connect_replication(&settings).await
}
