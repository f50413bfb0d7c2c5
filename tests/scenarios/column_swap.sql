-- Names are swapped and a column comes back under its old name: places count, not names.
--! setup
create table t (id int primary key, a text, b text);
create publication walgate for table t;
--! run
insert into t values (1, 'was a', 'was b');
alter table t rename column a to x;
alter table t rename column b to a;
alter table t rename column x to b;
insert into t values (2, 'now b', 'now a');
alter table t drop column b;
alter table t add column b int;
insert into t values (3, 'a', 7);
