-- Messages that nobody asked for still count: ids do not depend on what is selected.
--! args --op insert
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
begin;
insert into t values (1);
select pg_logical_emit_message(true, 'audit', 'within');
insert into t values (2);
commit;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"1.4","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
