-- `--count` ends after exactly that many events.
--! args --count 2
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
insert into t values (1), (2), (3);
insert into t values (4);

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
