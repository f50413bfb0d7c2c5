-- Views for monitoring systems that speak SQL: what each slot of the server holds back, and who reads it.
-- They work on standbys too, and in every supported version. Run it in any database, as a role that may
-- create a schema:
--
--   psql -f sql/monitoring.sql
--   psql -c 'select * from walgate_monitoring.slots order by retained_bytes desc nulls last'
--
-- Without pg_monitor the consumer of another role's connection is not shown. Running it again changes nothing.

create schema if not exists walgate_monitoring;

create or replace view walgate_monitoring.slots as
select s.slot_name,
       s.slot_type,
       s.database,
       s.active,
       s.wal_status,
       -- From here to the end of the log it is kept on the server's disk.
       s.restart_lsn,
       pg_catalog.pg_wal_lsn_diff(e.wal_lsn, s.restart_lsn) as retained_bytes,
       pg_catalog.pg_wal_lsn_diff(e.wal_lsn, s.confirmed_flush_lsn) as unconfirmed_bytes,
       -- What can still be written before the slot is in danger; null without a limit.
       s.safe_wal_size,
       -- Transactions whose catalog rows can't be cleaned up.
       pg_catalog.age(s.catalog_xmin) as catalog_xmin_age,
       a.usename as consumer_role,
       a.application_name as consumer_application,
       a.client_addr as consumer_address
from pg_catalog.pg_replication_slots as s
left join pg_catalog.pg_stat_activity as a on a.pid = s.active_pid
cross join (
    select case when pg_catalog.pg_is_in_recovery()
                then greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
                else pg_catalog.pg_current_wal_lsn()
           end as wal_lsn
) as e;

create or replace view walgate_monitoring.oldest_transactions as
select 'open' as kind,
       a.pid,
       null::text as gid,
       a.usename::text as role,
       a.datname::text as database,
       a.xact_start as since,
       pg_catalog.age(a.backend_xid) as xid_age
from pg_catalog.pg_stat_activity as a
where a.backend_xid is not null and a.pid <> pg_catalog.pg_backend_pid()
union all
select 'prepared', null, p.gid, p.owner::text, p.database::text, p.prepared, pg_catalog.age(p.transaction)
from pg_catalog.pg_prepared_xacts as p;

grant usage on schema walgate_monitoring to pg_monitor;
grant select on walgate_monitoring.slots, walgate_monitoring.oldest_transactions to pg_monitor;
