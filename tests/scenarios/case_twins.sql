-- Columns and tables whose names differ only by case are different.
--! setup
create table t (id int primary key, "A" int, a int);
create table "T" (id int primary key);
create publication walgate for table t, "T";
--! run
insert into t values (1, 2, 3);
insert into "T" values (4);
