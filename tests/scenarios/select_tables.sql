-- `--table` takes patterns; ids are those of the whole transaction.
--! args --table public.a* --table other.*
--! setup
create schema other;
create table aa (id int primary key);
create table ab (id int primary key);
create table b (id int primary key);
create table other.c (id int primary key);
create publication walgate for table aa, ab, b, other.c;
--! run
begin;
insert into b values (1);
insert into aa values (1);
insert into ab values (1);
insert into b values (2);
insert into other.c values (1);
commit;

--! expect
{"id":"1.3","op":"insert","schema":"public","table":"aa","key":{"id":1},"after":{"id":1}}
{"id":"1.4","op":"insert","schema":"public","table":"ab","key":{"id":1},"after":{"id":1}}
{"id":"1.6","op":"insert","schema":"other","table":"c","key":{"id":1},"after":{"id":1}}
