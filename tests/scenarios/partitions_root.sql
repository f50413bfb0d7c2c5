-- With publish_via_partition_root everything comes under the name of the root.
--! setup
create table t (id int, region text, primary key (id, region)) partition by list (region);
create table t_eu partition of t for values in ('eu');
create table t_us partition of t for values in ('us');
create publication walgate for table t with (publish_via_partition_root = true);
--! run
insert into t values (1, 'eu'), (2, 'us');
update t set region = 'us' where id = 1;
delete from t where id = 2;
truncate t;
