-- A key column that is stored externally: the old tuple that comes with each update is no key change.
--! setup
create table t (id text primary key, note text);
alter table t alter column id set storage external;
create publication walgate for table t;
--! run
insert into t values (repeat('k', 2500), 'a');
update t set note = 'b';
update t set id = 'short';
