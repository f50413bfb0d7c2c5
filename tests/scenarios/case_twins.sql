-- Columns and tables whose names differ only by case are different.
--! setup
create table t (id int primary key, "A" int, a int);
create table "T" (id int primary key);
create publication walgate for table t, "T";
--! run
insert into t values (1, 2, 3);
insert into "T" values (4);

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"A":2,"a":3}}
{"id":"2.2","op":"insert","schema":"public","table":"T","key":{"id":4},"after":{"id":4}}
