-- Transactions without a change that is published emit nothing, on any version.
--! args --transactions
--! setup
create table t (id int primary key);
create table unpublished (id int primary key);
create publication walgate for table t;
--! run
insert into unpublished values (1);
begin;
insert into unpublished values (2);
commit;
create table other (id int);
insert into t values (1);
insert into unpublished values (3);

--! expect
{"id":"1.1","op":"begin"}
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"1.c","op":"commit","changes":1}
