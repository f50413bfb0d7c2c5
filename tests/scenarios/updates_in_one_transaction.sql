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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"v":1}}
{"id":"1.3","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"v":2}}
{"id":"1.4","op":"update","schema":"public","table":"t","key":{"id":9},"before":{"id":1},"after":{"id":9,"v":2}}
{"id":"1.5","op":"delete","schema":"public","table":"t","key":{"id":9},"before":{"id":9}}
{"id":"1.6","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"v":3}}
