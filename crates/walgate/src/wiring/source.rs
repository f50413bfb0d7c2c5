//! `[source]` into what the session takes.

use walgate_connection::{ConnectionConfig, Environment};
use walgate_core::{Failure, StopReason};
use walgate_replication::{
    BinaryValues, OnGap, OnMissingTable, OnTooLarge, PublicationMode, SlotConfig, SlotMode,
    SourceConfig, StreamBounds, StreamTransactions, TableName,
};

use crate::config::{self, Secret};

/// What our connections are called in `pg_stat_activity`, unless the URL says otherwise.
const APPLICATION_NAME: &str = "walgate";

/// How to reach the server: the URL, then the environment, then libpq's files.
pub(crate) fn connection(
    url: Option<&Secret>,
    password_command: Option<&[String]>,
) -> Result<ConnectionConfig, Failure> {
    let text = url.map_or("", Secret::expose);
    let connection = ConnectionConfig::parse(text, &Environment::process()).map_err(|error| {
        let failure = Failure::new(StopReason::Config, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    let connection = match connection.application_name() {
        Some(_) => connection,
        None => connection.with_application_name(APPLICATION_NAME),
    };
    Ok(match password_command {
        Some(command) => connection.with_password_command(command.to_vec()),
        None => connection,
    })
}

/// Whether and how large transactions are taken while they run: only a journal on disk keeps them.
pub(crate) fn streaming(journal: &config::Journal) -> StreamTransactions {
    if journal.path.is_none() || !journal.streaming {
        return StreamTransactions::Off;
    }
    let max_transaction = journal.max_transaction.0;
    StreamTransactions::On(StreamBounds {
        max_transaction,
        // What is not bounded here is bounded by the journal, which knows its disk.
        max_together: journal.spool_budget.map_or(u64::MAX, |budget| budget.0),
        on_too_large: match journal.on_large_transaction {
            config::OnLargeTransaction::Unstream => OnTooLarge::Unstream,
            config::OnLargeTransaction::Stop => OnTooLarge::Stop,
        },
    })
}

/// Everything that the configuration says of the source.
pub(crate) fn source_config(source: &config::Source) -> Result<SourceConfig, Failure> {
    let connection = connection(source.url.as_ref(), source.password_command.as_deref())?;
    let slot = SlotConfig {
        name: source.slot.as_str().to_owned(),
        mode: if source.create_slot {
            SlotMode::CreateIfMissing
        } else {
            SlotMode::Existing
        },
        failover: source.failover,
    };
    let mut wanted = SourceConfig::new(connection, slot, source.publications.clone());
    wanted.publication_mode = match source.publication_mode {
        config::PublicationMode::Verify => PublicationMode::Verify,
        config::PublicationMode::Manage => PublicationMode::Manage,
    };
    // Patterns are checked against what is published by the sinks' own selections.
    let tables = source
        .tables
        .iter()
        .filter_map(|pattern| pattern.0.one_table());
    wanted.tables = tables
        .map(|(schema, table)| TableName::new(schema, table))
        .collect();
    wanted.on_missing_table = match source.on_missing_table {
        config::OnMissingTable::Stop => OnMissingTable::Stop,
        config::OnMissingTable::Warn => OnMissingTable::Warn,
    };
    wanted.on_gap = match source.on_gap {
        config::OnGap::Stop => OnGap::Stop,
        config::OnGap::Continue => OnGap::Continue,
    };
    wanted.epoch = source.epoch;
    wanted.status_interval = source.status_interval.0;
    wanted.wal_sender_timeout = source.wal_sender_timeout.map(|period| period.0);
    wanted.logical_decoding_work_mem_kib = source
        .logical_decoding_work_mem
        .map(|size| u32::try_from(size.0 >> 10).unwrap_or(u32::MAX));
    wanted.lock_timeout = source.lock_timeout.0;
    wanted.binary = match source.binary {
        config::Binary::Auto => BinaryValues::Auto,
        config::Binary::Off => BinaryValues::Off,
    };
    wanted.max_row = usize::try_from(source.max_row.0).unwrap_or(SourceConfig::MAX_ROW_LIMIT);
    Ok(wanted)
}
