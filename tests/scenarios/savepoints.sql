-- Rows of a rolled back sub-transaction never come and never count.
--! setup
create table t (id int primary key, note text);
create publication walgate for table t;
--! run
begin;
insert into t values (1, 'kept');
savepoint a;
insert into t values (2, 'gone');
savepoint b;
insert into t values (3, 'gone too');
release b;
rollback to a;
insert into t values (4, 'kept');
savepoint c;
update t set note = 'kept twice' where id = 1;
release c;
commit;
