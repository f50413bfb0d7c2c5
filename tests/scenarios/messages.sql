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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"1.3","op":"message","prefix":"audit","content":"within","transactional":true}
{"id":"1.4","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
{"id":"2.0","op":"message","prefix":"audit","content":"at once","transactional":false}
{"id":"3.2","op":"message","prefix":"bytes","content_base64":"3q2+7w==","transactional":true}
{"id":"4.2","op":"message","prefix":"","content":"","transactional":true}
{"id":"5.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3}}
