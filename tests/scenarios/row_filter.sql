-- A publication's row filter: a row that leaves it is a delete, one that enters it an insert.
--! versions 15,16,17,18
--! setup
create table t (id int primary key, level int);
alter table t replica identity full;
create publication walgate for table t where (level > 10);
--! run
insert into t values (1, 5), (2, 50);
update t set level = 60 where id = 2;
update t set level = 11 where id = 1;
update t set level = 1 where id = 2;
delete from t;
