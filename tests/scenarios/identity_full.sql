-- What an event holds of the old row under REPLICA IDENTITY FULL.
--! setup
create table t (id int primary key, code text not null, note text);
alter table t replica identity full;
create publication walgate for table t;
--! run
insert into t values (1, 'a', 'one'), (2, 'b', null), (3, 'c', 'three');
update t set note = 'changed' where id = 1;
update t set id = 20, code = 'z' where id = 2;
delete from t where id = 3;
truncate t;
