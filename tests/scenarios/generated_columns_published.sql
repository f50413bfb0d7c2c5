-- With publish_generated_columns = stored they come like any other.
--! versions 18
--! setup
create table t (id int primary key, a int, twice int generated always as (a * 2) stored);
create publication walgate for table t with (publish_generated_columns = stored);
--! run
insert into t (id, a) values (1, 21);
update t set a = 22;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"a":21,"twice":42}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"a":22,"twice":44}}
