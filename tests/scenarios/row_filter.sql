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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"level":50}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":2},"before":{"id":2,"level":50},"after":{"id":2,"level":60}}
{"id":"3.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"level":11}}
{"id":"4.2","op":"delete","schema":"public","table":"t","key":{"id":2},"before":{"id":2,"level":60}}
{"id":"5.2","op":"delete","schema":"public","table":"t","key":{"id":1},"before":{"id":1,"level":11}}
