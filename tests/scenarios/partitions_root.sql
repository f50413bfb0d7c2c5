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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1,"region":"eu"},"after":{"id":1,"region":"eu"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":2,"region":"us"},"after":{"id":2,"region":"us"}}
{"id":"2.2","op":"delete","schema":"public","table":"t","key":{"id":1,"region":"eu"},"before":{"id":1,"region":"eu"}}
{"id":"2.3","op":"insert","schema":"public","table":"t","key":{"id":1,"region":"us"},"after":{"id":1,"region":"us"}}
{"id":"3.2","op":"delete","schema":"public","table":"t","key":{"id":2,"region":"us"},"before":{"id":2,"region":"us"}}
{"id":"4.2","op":"truncate","schema":"public","table":"t","cascade":false,"restart_identity":false}
