//! A slot as the server shows it.

use anyhow::{Context, Result};
use postgres::Client;

/// What is looked at in `pg_replication_slots`.
pub struct SlotRow {
    /// `confirmed_flush_lsn`; none as long as the slot is being made.
    pub confirmed: Option<u64>,
    /// The process that serves it.
    pub walsender: Option<i32>,
    /// How the log that it needs is doing.
    pub wal_status: Option<String>,
}

/// The row of a slot, if it is there.
///
/// # Errors
///
/// When the server can't be reached.
pub fn slot(admin: &mut Client, name: &str) -> Result<Option<SlotRow>> {
    let query = "select (confirmed_flush_lsn - '0/0')::bigint, active_pid, wal_status \
                 from pg_replication_slots where slot_name = $1";
    let Some(row) = admin.query_opt(query, &[&name])? else {
        return Ok(None);
    };
    Ok(Some(SlotRow {
        confirmed: row
            .get::<_, Option<i64>>(0)
            .map(u64::try_from)
            .transpose()?,
        walsender: row.get(1),
        wal_status: row.get(2),
    }))
}

/// The number of a position as the server prints it.
///
/// # Errors
///
/// When it is none.
pub fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').with_context(|| text.to_owned())?;
    Ok((u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?)
}
