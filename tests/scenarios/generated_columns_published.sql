-- With publish_generated_columns = stored they come like any other.
--! versions 18
--! setup
create table t (id int primary key, a int, twice int generated always as (a * 2) stored);
create publication walgate for table t with (publish_generated_columns = stored);
--! run
insert into t (id, a) values (1, 21);
update t set a = 22;
