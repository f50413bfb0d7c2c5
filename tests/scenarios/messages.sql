-- Logical messages: in a transaction they have a place in it, otherwise a position of their own.
--! args --op insert --op message
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
begin;
insert into t values (1);
select pg_logical_emit_message(true, 'audit', 'within');
insert into t values (2);
commit;
begin;
select pg_logical_emit_message(true, 'audit', 'rolled back');
rollback;
select pg_logical_emit_message(false, 'audit', 'at once');
select pg_logical_emit_message(true, 'bytes', '\xdeadbeef'::bytea);
select pg_logical_emit_message(true, '', '');
insert into t values (3);
