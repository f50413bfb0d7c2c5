-- Transactions come in the order of their commits, whole, however they were interleaved.
--! setup
create table t (id int primary key, who text);
create publication walgate for table t;
--! run
begin;
insert into t values (1, 'first to begin');
--! session b
begin;
insert into t values (2, 'first to commit');
--! session
insert into t values (3, 'first to begin');
--! session b
insert into t values (4, 'first to commit');
commit;
--! session
commit;
