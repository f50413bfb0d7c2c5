-- A role for Walgate on Amazon RDS and Aurora: it may read the log, and see who else is there. Run it as the
-- master user, in any database:
--
--   psql -f sql/role_rds.sql
--   psql -c '\password walgate'
--
-- With IAM instead of a password: grant rds_iam to walgate, and set rds.iam_auth_for_replication = 1.
-- Reading the log needs no right on the tables. Running it again changes nothing.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'walgate') then
        create role walgate login;
    end if;
end
$$;

grant rds_replication to walgate;

-- So that walgate slots and walgate check can name who holds the log back.
grant pg_monitor to walgate;
