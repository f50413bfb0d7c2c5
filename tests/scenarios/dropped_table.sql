-- A table that is gone when the log is read keeps its rows; types that went with it are text.
--! setup
create type mood as enum ('sad', 'happy');
create table t (id int primary key, m mood, ms mood[]);
create table other (id int primary key);
create publication walgate for table t, other;
--! run
insert into t values (1, 'sad', '{sad,happy}');
drop table t;
drop type mood;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"m":"sad","ms":"{sad,happy}"}}
