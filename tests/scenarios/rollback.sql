-- A transaction that is rolled back leaves no trace.
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
begin;
insert into t values (1);
rollback;
insert into t values (2);

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
