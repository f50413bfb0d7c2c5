//! What is asked of the server over an ordinary SQL connection.

use std::time::Duration;

use tokio_postgres::{Client, Row};
use walgate_core::Lsn;

use crate::verdict::SlotRow;

/// The server and what of its settings matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// `server_version_num`: 150018 for 15.18.
    pub(crate) version_num: i32,
    /// `server_version`.
    pub(crate) version: String,
    /// It replays another server's log.
    pub(crate) in_recovery: bool,
    /// `wal_level`.
    pub(crate) wal_level: String,
    /// `wal_sender_timeout` of this role in this database; none when it is off.
    pub(crate) wal_sender_timeout: Option<Duration>,
    /// The database that we are connected to.
    pub(crate) database: String,
    /// It has RDS's own role for replication.
    pub(crate) is_rds: bool,
    /// `server_encoding` of the database.
    pub(crate) encoding: String,
}

impl Server {
    /// The major version.
    pub(crate) const fn major(&self) -> i32 {
        self.version_num / 10_000
    }
}

/// Reads [`Server`].
pub(crate) async fn server(sql: &Client) -> Result<Server, tokio_postgres::Error> {
    let row = sql
        .query_one(
            "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
                    pg_catalog.current_setting('server_version'), \
                    pg_catalog.pg_is_in_recovery(), \
                    pg_catalog.current_setting('wal_level'), \
                    (SELECT setting::pg_catalog.int8 FROM pg_catalog.pg_settings \
                      WHERE name = 'wal_sender_timeout'), \
                    pg_catalog.current_database()::pg_catalog.text, \
                    EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_replication'), \
                    pg_catalog.current_setting('server_encoding')",
            &[],
        )
        .await?;
    let timeout_ms: Option<i64> = row.try_get(4)?;
    let timeout_ms = timeout_ms
        .and_then(|ms| u64::try_from(ms).ok())
        .filter(|ms| *ms > 0);
    Ok(Server {
        version_num: row.try_get(0)?,
        version: row.try_get(1)?,
        in_recovery: row.try_get(2)?,
        wal_level: row.try_get(3)?,
        wal_sender_timeout: timeout_ms.map(Duration::from_millis),
        database: row.try_get(5)?,
        is_rds: row.try_get(6)?,
        encoding: row.try_get(7)?,
    })
}

/// Reads a slot's row; none when there is no such slot.
pub(crate) async fn slot(
    sql: &Client,
    server: &Server,
    name: &str,
) -> Result<Option<SlotRow>, tokio_postgres::Error> {
    // Each column with the first version that has it; 14 has the rest. 16 says of every invalidated
    // logical slot that it conflicts, but takes the position only from one whose log was removed.
    let newer = match server.major() {
        ..=15 => "NULL::text, false, false",
        16 => "CASE WHEN conflicting AND restart_lsn IS NOT NULL THEN 'conflict' END, false, false",
        _ => "invalidation_reason, synced, failover",
    };
    let query = format!(
        "SELECT slot_type, plugin::pg_catalog.text, database::pg_catalog.text, temporary, active, active_pid, \
                restart_lsn::pg_catalog.text, confirmed_flush_lsn::pg_catalog.text, wal_status, two_phase, {newer} \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = $1::pg_catalog.text"
    );
    sql.query_opt(&query, &[&name])
        .await?
        .map(|row| slot_row(&row))
        .transpose()
}

fn slot_row(row: &Row) -> Result<SlotRow, tokio_postgres::Error> {
    let text = |place: usize| row.try_get::<_, Option<String>>(place);
    Ok(SlotRow {
        slot_type: text(0)?.unwrap_or_default(),
        plugin: text(1)?.unwrap_or_default(),
        database: text(2)?.unwrap_or_default(),
        temporary: row.try_get(3)?,
        active: row.try_get(4)?,
        active_pid: row.try_get(5)?,
        restart_lsn: lsn(text(6)?),
        confirmed_flush_lsn: lsn(text(7)?),
        wal_status: text(8)?,
        two_phase: row.try_get(9)?,
        invalidation: text(10)?,
        synced: row.try_get(11)?,
        failover: row.try_get(12)?,
    })
}

/// Reads an LSN that was sent as text.
pub(crate) fn lsn(text: Option<String>) -> Option<Lsn> {
    text.and_then(|text| text.parse().ok())
}

/// Who has a slot, in one line for a log.
pub(crate) async fn holder(sql: &Client, pid: i32) -> Option<String> {
    let row = sql
        .query_opt(
            "SELECT pg_catalog.format('%s (user %s, application %s, from %s, since %s)', pid, usename, \
                    application_name, coalesce(client_addr::text, 'a local socket'), backend_start) \
             FROM pg_catalog.pg_stat_activity WHERE pid = $1",
            &[&pid],
        )
        .await;
    row.ok().flatten()?.try_get(0).ok().flatten()
}

/// The oldest transaction that runs, and the first that has not begun: 64 bits each.
pub(crate) async fn running(sql: &Client) -> Result<(u64, u64), tokio_postgres::Error> {
    let row = sql
        .query_one(
            "SELECT pg_catalog.pg_snapshot_xmin(s)::pg_catalog.text, pg_catalog.pg_snapshot_xmax(s)::pg_catalog.text \
             FROM pg_catalog.pg_current_snapshot() AS s",
            &[],
        )
        .await?;
    // What can't be read keeps us waiting.
    let read = |place, otherwise: u64| {
        row.try_get::<_, String>(place)
            .map(|text| text.parse().unwrap_or(otherwise))
    };
    Ok((read(0, 0)?, read(1, u64::MAX)?))
}

/// Where the log ends: insert and flush position.
pub(crate) async fn log_end(sql: &Client) -> Result<(Lsn, Lsn), tokio_postgres::Error> {
    let row = sql
        .query_one(
            "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                         ELSE pg_catalog.pg_current_wal_insert_lsn() END::pg_catalog.text, \
                    CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() \
                         ELSE pg_catalog.pg_current_wal_flush_lsn() END::pg_catalog.text",
            &[],
        )
        .await?;
    let read = |place| {
        row.try_get::<_, Option<String>>(place)
            .map(|text| lsn(text).unwrap_or_default())
    };
    Ok((read(0)?, read(1)?))
}
