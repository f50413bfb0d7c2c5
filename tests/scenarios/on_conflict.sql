-- INSERT ON CONFLICT is an insert or an update; a conflict that does nothing is nothing.
--! setup
create table t (id int primary key, v int);
create publication walgate for table t;
--! run
insert into t values (1, 1);
insert into t values (1, 2) on conflict (id) do update set v = excluded.v;
insert into t values (1, 3) on conflict do nothing;
insert into t values (1, 4), (2, 4) on conflict (id) do update set v = excluded.v;
