-- Without publish_via_partition_root each leaf is a table of its own, and a row that moves is a delete and an insert.
--! setup
create table t (id int, region text, primary key (id, region)) partition by list (region);
create table t_eu partition of t for values in ('eu');
create table t_us partition of t for values in ('us');
create publication walgate for table t;
--! run
insert into t values (1, 'eu'), (2, 'us');
update t set region = 'us' where id = 1;
delete from t where id = 2;
truncate t_us;
