-- Each row has the columns that the table had at its point in the log.
--! args --schema-events
--! setup
create table t (id int primary key, a int);
create publication walgate for table t;
--! run
begin;
insert into t values (1, 10);
alter table t add column b text default 'new';
insert into t values (2, 20, 'x');
alter table t drop column a;
insert into t values (3, 'y');
alter table t rename column b to c;
alter table t alter column c type varchar(10);
insert into t values (4, 'z');
commit;
update t set c = 'w' where id = 1;

--! expect
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"a","type":"int4","type_oid":23,"typmod":-1,"key":false}],"replica_identity":"default"}
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"a":10}}
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"a","type":"int4","type_oid":23,"typmod":-1,"key":false},{"name":"b","type":"text","type_oid":25,"typmod":-1,"key":false}],"replica_identity":"default"}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"a":20,"b":"x"}}
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"b","type":"text","type_oid":25,"typmod":-1,"key":false}],"replica_identity":"default"}
{"id":"1.4","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"b":"y"}}
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"c","type":"varchar","type_oid":1043,"typmod":14,"key":false}],"replica_identity":"default"}
{"id":"1.5","op":"insert","schema":"public","table":"t","key":{"id":4},"after":{"id":4,"c":"z"}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"c":"w"}}
