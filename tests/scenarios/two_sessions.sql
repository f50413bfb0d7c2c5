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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"who":"first to commit"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":4},"after":{"id":4,"who":"first to commit"}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"who":"first to begin"}}
{"id":"2.3","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"who":"first to begin"}}
