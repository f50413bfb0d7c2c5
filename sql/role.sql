-- A role for Walgate on a server of one's own: it may read the log, and see who else is there. Run it as a
-- superuser, in any database:
--
--   psql -f sql/role.sql
--   psql -c '\password walgate'
--
-- Reading the log needs no right on the tables. Running it again changes nothing.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'walgate') then
        create role walgate login;
    end if;
end
$$;

alter role walgate replication;

-- So that walgate slots and walgate check can name who holds the log back.
grant pg_monitor to walgate;
