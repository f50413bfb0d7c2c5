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
