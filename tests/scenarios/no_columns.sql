-- A table without columns.
--! setup
create table t ();
create publication walgate for table t with (publish = 'insert, truncate');
--! run
insert into t default values;
insert into t default values;
truncate t;
