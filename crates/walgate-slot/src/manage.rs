//! Creating and dropping slots, with the safeties that this needs.

use tokio_postgres::error::SqlState;
use walgate_connection::{ConnectionConfig, SqlClient};
use walgate_core::Lsn;

use crate::error::WatchError;
use crate::observation::Slot;
use crate::watcher::in_time;

/// Settings of the connection that changes something. Creating a slot waits for every transaction
/// that was running; as a function it is ended by `statement_timeout`, and then leaves no slot.
const SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "6s"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("default_transaction_read_only", "off"),
    ("search_path", ""),
    ("client_encoding", "UTF8"),
];

/// A connection that may create and drop slots.
#[derive(Debug)]
pub struct Manager {
    sql: SqlClient,
}

/// What became of a wish to drop a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone.
    Yes,
    /// It is no longer what was looked at: it has moved, is used, or is another one of this name.
    Changed,
}

impl Manager {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the server can't be reached or refuses.
    pub async fn connect(config: &ConnectionConfig) -> Result<Self, WatchError> {
        let sql = Box::pin(config.connect_sql(SETTINGS)).await?;
        Ok(Self { sql })
    }

    /// Creates a logical slot for `pgoutput` in the database of the connection, and returns where it
    /// begins. `failover` needs 17 or later.
    ///
    /// # Errors
    ///
    /// When the server refuses, and when transactions that were running have not ended after 6 s
    /// ([`TooSlow`](crate::WatchErrorKind::TooSlow)): then there is no slot. Where no answer came (not
    /// [`is_refusal`](WatchError::is_refusal)), there may be one.
    pub async fn create(&self, name: &str, failover: bool) -> Result<Lsn, WatchError> {
        let doing = "create the slot";
        // The fifth argument is not there before 17.
        let more = if failover { ", false, true" } else { "" };
        let sql = format!(
            "SELECT lsn::pg_catalog.text FROM pg_catalog.pg_create_logical_replication_slot(\
             $1::pg_catalog.text, 'pgoutput', false{more})"
        );
        in_time(doing, async {
            let row = self.sql.query_one(&sql, &[&name]).await;
            if row.is_err() {
                // The server sends an error before it has cleaned up. When it answers again, the slot
                // that it had begun to create is gone; whether it answers well is of no interest.
                drop(self.sql.simple_query("").await);
            }
            let row = row.map_err(WatchError::sql(doing))?;
            let lsn: String = row.try_get(0).map_err(WatchError::sql(doing))?;
            Ok(lsn.parse().unwrap_or_default())
        })
        .await
    }

    /// Runs a statement that changes something other than a slot. It waits a second for a lock, because
    /// whoever comes behind it waits, too.
    ///
    /// # Errors
    ///
    /// When the server refuses. Where no answer came (not [`is_refusal`](WatchError::is_refusal)), it
    /// may have been done.
    pub async fn run(&self, statement: &str) -> Result<(), WatchError> {
        let doing = "run the statement";
        in_time(doing, async {
            for sql in ["SET lock_timeout = '1s'", statement, "RESET lock_timeout"] {
                let ran = self.sql.simple_query(sql).await;
                ran.map_err(WatchError::sql(doing))?;
            }
            Ok(())
        })
        .await
    }

    /// How much log there is on the server's disk, in bytes, and where its last checkpoint begins.
    ///
    /// # Errors
    ///
    /// When the role may not see it (`pg_monitor` may), or the server gives no answer.
    pub async fn wal_on_disk(&self) -> Result<(u64, Lsn), WatchError> {
        let doing = "measure the log on the server's disk";
        let sql = "SELECT \
             (SELECT pg_catalog.sum(size)::pg_catalog.int8 FROM pg_catalog.pg_ls_waldir()), \
             (SELECT redo_lsn::pg_catalog.text FROM pg_catalog.pg_control_checkpoint())";
        in_time(doing, async {
            let row = self.sql.query_one(sql, &[]).await;
            let row = row.map_err(WatchError::sql(doing))?;
            let bytes: Option<i64> = row.try_get(0).map_err(WatchError::sql(doing))?;
            let redo: &str = row.try_get(1).map_err(WatchError::sql(doing))?;
            let bytes = u64::try_from(bytes.unwrap_or(0)).unwrap_or(0);
            Ok((bytes, redo.parse().unwrap_or_default()))
        })
        .await
    }

    /// Drops a slot if it is still exactly what was looked at, and nobody uses it.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn drop_slot(&self, seen: &Slot) -> Result<Dropped, WatchError> {
        let doing = "drop the slot";
        let text = |lsn: Option<Lsn>| lsn.map(|lsn| lsn.to_string());
        // The row is looked at and the slot dropped in one statement; somebody who begins to use it
        // in between makes the function fail with 55006.
        let sql = "SELECT pg_catalog.pg_drop_replication_slot(s.slot_name) \
             FROM pg_catalog.pg_replication_slots AS s \
             WHERE s.slot_name = $1::pg_catalog.text AND NOT s.active \
               AND s.restart_lsn::pg_catalog.text IS NOT DISTINCT FROM $2::pg_catalog.text \
               AND s.confirmed_flush_lsn::pg_catalog.text IS NOT DISTINCT FROM $3::pg_catalog.text \
               AND s.database::pg_catalog.text IS NOT DISTINCT FROM $4::pg_catalog.text";
        let (restart, confirmed) = (text(seen.restart_lsn), text(seen.confirmed_flush_lsn));
        in_time(doing, async {
            let rows = self
                .sql
                .query(sql, &[&seen.name, &restart, &confirmed, &seen.database])
                .await;
            match rows {
                Ok(rows) if rows.is_empty() => Ok(Dropped::Changed),
                Ok(_) => Ok(Dropped::Yes),
                Err(error)
                    if error.code() == Some(&SqlState::OBJECT_IN_USE)
                        || error.code() == Some(&SqlState::UNDEFINED_OBJECT) =>
                {
                    Ok(Dropped::Changed)
                }
                Err(source) => Err(WatchError::Sql { doing, source }),
            }
        })
        .await
    }
}
