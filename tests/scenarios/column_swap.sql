-- Names are swapped and a column comes back under its old name: places count, not names.
--! setup
create table t (id int primary key, a text, b text);
create publication walgate for table t;
--! run
insert into t values (1, 'was a', 'was b');
alter table t rename column a to x;
alter table t rename column b to a;
alter table t rename column x to b;
insert into t values (2, 'now b', 'now a');
alter table t drop column b;
alter table t add column b int;
insert into t values (3, 'a', 7);

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"a":"was a","b":"was b"}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"b":"now b","a":"now a"}}
{"id":"3.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"a":"a","b":7}}
