-- `--op` selects operations.
--! args --op delete --op truncate
--! setup
create table t (id int primary key, v int);
create publication walgate for table t;
--! run
insert into t values (1, 1), (2, 2);
update t set v = 3;
delete from t where id = 1;
truncate t;

--! expect
{"id":"1.2","op":"delete","schema":"public","table":"t","key":{"id":1},"before":{"id":1}}
{"id":"2.2","op":"truncate","schema":"public","table":"t","cascade":false,"restart_identity":false}
