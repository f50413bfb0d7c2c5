-- Generated columns are not in the log unless a publication of 18 says so.
--! setup
create table t (id int primary key, a int, twice int generated always as (a * 2) stored);
create publication walgate for table t;
--! run
insert into t (id, a) values (1, 21);
update t set a = 22;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"a":21}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"a":22}}
