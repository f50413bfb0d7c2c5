-- `--where` compares the text of a column of the new or the old row.
--! args --where experiment_id=20
--! setup
create table t (id int primary key, experiment_id int);
alter table t replica identity full;
create publication walgate for table t;
--! run
insert into t values (1, 20), (2, 21), (3, 20);
update t set experiment_id = 22 where id = 1;
delete from t where id = 2;
delete from t where id = 3;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"experiment_id":20}}
{"id":"1.4","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"experiment_id":20}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"before":{"id":1,"experiment_id":20},"after":{"id":1,"experiment_id":22}}
{"id":"3.2","op":"delete","schema":"public","table":"t","key":{"id":3},"before":{"id":3,"experiment_id":20}}
