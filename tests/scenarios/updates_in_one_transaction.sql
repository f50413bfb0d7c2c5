-- Several changes of one row in one transaction keep their order.
--! setup
create table t (id int primary key, v int);
create publication walgate for table t;
--! run
begin;
insert into t values (1, 1);
update t set v = 2;
update t set id = 9;
delete from t;
insert into t values (1, 3);
commit;
