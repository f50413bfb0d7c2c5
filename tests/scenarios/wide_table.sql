-- 1,600 columns, which is PostgreSQL's limit.
--! setup
create function make_wide() returns void language plpgsql as $$
begin
    execute 'create table t (' || (select string_agg('c' || i || ' int' || case when i = 1 then ' primary key' else '' end, ', ') from generate_series(1, 1600) i) || ')';
end $$;
select make_wide();
create publication walgate for table t;
--! run
insert into t (c1, c2, c1600) values (1, 2, 3);
delete from t;
