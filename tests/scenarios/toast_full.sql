-- With REPLICA IDENTITY FULL the old row has the large value, and fills the new one.
--! setup
create table t (id int primary key, big text, small text);
alter table t alter column big set storage external;
alter table t replica identity full;
create publication walgate for table t;
--! run
insert into t values (1, repeat('x', 3000), 'a');
update t set small = 'b';
delete from t;
