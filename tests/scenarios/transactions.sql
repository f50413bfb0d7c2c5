-- `begin` and `commit` on request; a commit tells how many changes this output was given.
--! args --transactions --table public.t
--! setup
create table t (id int primary key);
create table u (id int primary key);
create publication walgate for table t, u;
--! run
begin;
insert into t values (1), (2);
insert into u values (1);
commit;
insert into u values (2);
insert into t values (3);

--! expect
{"id":"1.1","op":"begin"}
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
{"id":"1.c","op":"commit","changes":2}
{"id":"2.1","op":"begin"}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3}}
{"id":"2.c","op":"commit","changes":1}
