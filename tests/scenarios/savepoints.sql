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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"note":"kept"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":4},"after":{"id":4,"note":"kept"}}
{"id":"1.4","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"note":"kept twice"}}
