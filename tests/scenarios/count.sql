-- `--count` ends after exactly that many events.
--! args --count 2
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
insert into t values (1), (2), (3);
insert into t values (4);
