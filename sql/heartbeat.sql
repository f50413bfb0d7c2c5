-- A heartbeat: a small message in the log, committed like any change. Whoever reads messages from a slot sees it
-- come, which proves the whole way from a commit to the consumer. No slot needs it to advance: Walgate confirms
-- the positions of keepalives. Run it in the database of the slot, as a superuser or, on RDS, the master user:
--
--   psql -f sql/heartbeat.sql
--
-- It gives the role walgate the right to write messages, where that was taken from everybody, and writes one. By
-- itself every minute, with pg_cron:
--
--   select cron.schedule('walgate-heartbeat', '* * * * *',
--       $cron$select pg_logical_emit_message(true, 'heartbeat', now()::text)$cron$);
--
-- A standby can't write to the log: there it says so, and does nothing. Running it again writes one more.

do $$
declare
    -- The function has one more argument from version 17 on.
    emit record;
begin
    if pg_catalog.pg_is_in_recovery() then
        raise notice 'a standby can''t write a heartbeat: run this on the primary';
        return;
    end if;
    if exists (select from pg_catalog.pg_roles where rolname = 'walgate') then
        for emit in
            select p.oid::regprocedure as name
            from pg_catalog.pg_proc as p
            where p.pronamespace = 'pg_catalog'::regnamespace
              and p.proname = 'pg_logical_emit_message'
              and not pg_catalog.has_function_privilege('walgate', p.oid, 'execute')
        loop
            execute format('grant execute on function %s to walgate', emit.name);
        end loop;
    end if;
    perform pg_catalog.pg_logical_emit_message(true, 'heartbeat', pg_catalog.now()::text);
end
$$;
