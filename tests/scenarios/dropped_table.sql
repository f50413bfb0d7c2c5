-- A table that is gone when the log is read keeps its rows; types that went with it are text.
--! setup
create type mood as enum ('sad', 'happy');
create table t (id int primary key, m mood, ms mood[]);
create publication walgate for table t;
--! run
insert into t values (1, 'sad', '{sad,happy}');
drop table t;
drop type mood;
