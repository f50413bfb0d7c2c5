-- INSERT ON CONFLICT is an insert or an update; a conflict that does nothing is nothing.
--! setup
create table t (id int primary key, v int);
create publication walgate for table t;
--! run
insert into t values (1, 1);
insert into t values (1, 2) on conflict (id) do update set v = excluded.v;
insert into t values (1, 3) on conflict do nothing;
insert into t values (1, 4), (2, 4) on conflict (id) do update set v = excluded.v;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"v":1}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"v":2}}
{"id":"3.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"v":4}}
{"id":"3.3","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"v":4}}
