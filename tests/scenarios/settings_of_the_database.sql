-- Settings of the database or the role change nothing: ours are pinned.
--! setup
create function set_all() returns void language plpgsql as $$
begin
    execute format('alter database %I set timezone = ''Asia/Tokyo''', current_database());
    execute format('alter database %I set datestyle = ''German, DMY''', current_database());
    execute format('alter database %I set intervalstyle = ''sql_standard''', current_database());
    execute format('alter database %I set extra_float_digits = -15', current_database());
    execute format('alter database %I set bytea_output = ''escape''', current_database());
    execute format('alter database %I set quote_all_identifiers = on', current_database());
    execute format('alter database %I set search_path = ''public''', current_database());
end $$;
select set_all();
create table t (id int primary key, at timestamptz, day date, span interval, f float8, raw bytea, r regclass);
create publication walgate for table t;
--! run
insert into t values (1, '2026-11-21 09:30:00+00', '2026-11-21', '1 year 2 days 03:04:05', 0.1, '\x00ff', 't');

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"at":"2026-11-21T09:30:00Z","day":"2026-11-21","span":"P1Y2DT3H4M5S","f":0.1,"raw":"AP8=","r":"public.t"}}
