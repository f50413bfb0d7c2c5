//! The one query of a look, for every version.
//!
//! Rows go whole into JSON, so that a column that only some versions have is there where it is, and
//! no version needs a text of its own. JSON and not JSONB: building that took twice as long. Views and functions are those that every role may read; what
//! a role may not see comes as null. Only catalogs are read, and nothing of a table of the user: the
//! locks are `ACCESS SHARE` on catalogs.
//!
//! <https://www.postgresql.org/docs/current/view-pg-replication-slots.html>,
//! <https://www.postgresql.org/docs/current/monitoring-stats.html>

/// Settings of the connection: an answer that takes longer is none, a lock is not waited for, and
/// compiling a query of a few milliseconds would cost more than running it.
pub(crate) const CONNECTION_SETTINGS: &[(&str, &str)] = &[
    ("statement_timeout", "5s"),
    ("lock_timeout", "500ms"),
    ("idle_in_transaction_session_timeout", "10s"),
    // As the stream has it: with `target_session_attrs=read-write` a session that begins as read-only
    // is refused, and no server would be good enough.
    ("default_transaction_read_only", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("search_path", ""),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "iso_8601"),
    ("client_encoding", "UTF8"),
];

/// Said once a connection is made: a look writes nothing.
pub(crate) const WRITE_NOTHING: &str = "SET default_transaction_read_only = on";

/// Asked once for each connection: who the server is, and what this role may see of it.
pub(crate) const IDENTITY: &str = "
SELECT pg_catalog.jsonb_build_object(
    'version_num', pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
    'version', pg_catalog.current_setting('server_version'),
    'role', current_user,
    'database', pg_catalog.current_database(),
    'sees_everything', pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
    'may_replicate', EXISTS (
        SELECT FROM pg_catalog.pg_roles AS r
        WHERE r.rolname = current_user AND (r.rolsuper OR r.rolreplication)
           OR r.rolname = 'rds_replication'
              AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')),
    'is_rds', EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_replication'),
    'is_aurora', EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = 'aurora_version'),
    'is_cloud_sql', EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'cloudsqlsuperuser'),
    'is_azure', EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'azure_pg_admin')
)::pg_catalog.text";

/// Asked once for each connection and allowed to fail: a provider may have revoked it.
pub(crate) const SYSTEM_IDENTIFIER: &str =
    "SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()";

/// Where [`LOOK`] reads the statements of other sessions.
const STATEMENT: &str = "\"left\"(a.query, 200) AS query";

/// [`LOOK`] without the statements of other sessions: where a database has the encoding `SQL_ASCII`,
/// they may be bytes that the server refuses to send as UTF-8.
pub(crate) fn look_without_statements() -> String {
    LOOK.replace(STATEMENT, "NULL::pg_catalog.text AS query")
}

/// Asked at each look. `$`-parameters there are none, so it is planned once. The answer is bytes:
/// statements of databases with other encodings may be no UTF-8.
pub(crate) const LOOK: &str = "
WITH activity AS MATERIALIZED (
    SELECT a.pid, a.usename, a.application_name, a.client_addr, a.datname, a.state, a.backend_type,
           a.xact_start, a.query_start, a.query, a.backend_xid, a.backend_xmin, a.wait_event
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.pid <> pg_catalog.pg_backend_pid()
)
SELECT pg_catalog.textsend(pg_catalog.json_build_object(
    'at', extract(epoch FROM pg_catalog.clock_timestamp())::pg_catalog.float8,
    'started_at', extract(epoch FROM pg_catalog.pg_postmaster_start_time())::pg_catalog.float8,
    'in_recovery', pg_catalog.pg_is_in_recovery(),
    'wal_lsn', CASE WHEN pg_catalog.pg_is_in_recovery()
        THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
        ELSE pg_catalog.pg_current_wal_lsn() END,
    'replayed_lsn', CASE WHEN pg_catalog.pg_is_in_recovery()
        THEN pg_catalog.pg_last_wal_replay_lsn() END,
    'average', (SELECT pg_catalog.json_build_object('bytes', w.wal_bytes::pg_catalog.float8,
            'seconds', extract(epoch FROM pg_catalog.clock_timestamp() - w.stats_reset)
                ::pg_catalog.float8)
        FROM pg_catalog.pg_stat_wal AS w WHERE NOT pg_catalog.pg_is_in_recovery()),
    'settings', (SELECT pg_catalog.json_object_agg(s.name, pg_catalog.current_setting(s.name, true))
        FROM pg_catalog.unnest(ARRAY[
            'max_slot_wal_keep_size', 'wal_keep_size', 'max_wal_size', 'wal_segment_size',
            'wal_sender_timeout', 'idle_replication_slot_timeout', 'max_replication_slots',
            'max_wal_senders', 'wal_level', 'synchronized_standby_slots',
            'synchronous_standby_names', 'sync_replication_slots', 'hot_standby_feedback'
        ]) AS s(name)),
    'slots', (SELECT pg_catalog.json_agg(o) FROM (
        SELECT s.*, pg_catalog.age(s.catalog_xmin) AS catalog_xmin_age,
               pg_catalog.age(s.xmin) AS xmin_age, a.usename AS holder_user,
               a.application_name AS holder_application,
               pg_catalog.host(a.client_addr) AS holder_address
        FROM pg_catalog.pg_replication_slots AS s LEFT JOIN activity AS a ON a.pid = s.active_pid
        ORDER BY s.slot_name) AS o),
    'statistics', (SELECT pg_catalog.json_agg(t)
        FROM pg_catalog.pg_stat_replication_slots AS t),
    'walsenders', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'pid', w.pid, 'usename', w.usename, 'application_name', w.application_name,
            'client_addr', pg_catalog.host(w.client_addr), 'state', w.state,
            'sent_lsn', w.sent_lsn, 'flush_lsn', w.flush_lsn, 'sync_state', w.sync_state,
            'wait_event', a.wait_event,
            'silent_seconds', extract(epoch FROM pg_catalog.clock_timestamp() - w.reply_time)
                ::pg_catalog.float8))
        FROM pg_catalog.pg_stat_replication AS w LEFT JOIN activity AS a ON a.pid = w.pid),
    'transactions', (SELECT pg_catalog.json_agg(o) FROM (
        SELECT a.pid, a.usename, a.application_name, pg_catalog.host(a.client_addr) AS client_addr,
               a.datname, a.state, a.backend_type, pg_catalog.age(a.backend_xid) AS xid_age,
               pg_catalog.age(a.backend_xmin) AS xmin_age,
               extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)
                   ::pg_catalog.float8 AS seconds,
               extract(epoch FROM pg_catalog.clock_timestamp() - a.query_start)
                   ::pg_catalog.float8 AS query_seconds,
               \"left\"(a.query, 200) AS query
        FROM activity AS a
        WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
          AND a.pid NOT IN (SELECT w.pid FROM pg_catalog.pg_stat_replication AS w)
        ORDER BY a.backend_xid IS NULL,
                 GREATEST(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin)) DESC
        LIMIT 10) AS o),
    'prepared', (SELECT pg_catalog.json_agg(o) FROM (
        SELECT p.gid, p.owner, p.database, pg_catalog.age(p.transaction) AS xid_age,
               extract(epoch FROM pg_catalog.clock_timestamp() - p.prepared)
                   ::pg_catalog.float8 AS seconds
        FROM pg_catalog.pg_prepared_xacts AS p
        ORDER BY pg_catalog.age(p.transaction) DESC LIMIT 10) AS o),
    'databases', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', d.datname,
            'rows_written', d.tup_inserted + d.tup_updated + d.tup_deleted))
        FROM pg_catalog.pg_stat_database AS d WHERE d.datname IS NOT NULL)
)::pg_catalog.text)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_can_be_left_out() {
        let text = look_without_statements();
        assert!(!text.contains("a.query, 200"), "{text}");
    }
}
