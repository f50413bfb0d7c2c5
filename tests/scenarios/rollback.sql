-- A transaction that is rolled back leaves no trace.
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
begin;
insert into t values (1);
rollback;
insert into t values (2);
