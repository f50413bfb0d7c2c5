-- A publication's column list: columns outside it do not exist here.
--! versions 15,16,17,18
--! args --schema-events
--! setup
create table t (id int primary key, seen text, hidden text);
create publication walgate for table t (id, seen);
--! run
insert into t values (1, 'a', 'secret');
update t set hidden = 'still secret';
delete from t;

--! expect
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"seen","type":"text","type_oid":25,"typmod":-1,"key":false}],"replica_identity":"default"}
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"seen":"a"}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"seen":"a"}}
{"id":"3.2","op":"delete","schema":"public","table":"t","key":{"id":1},"before":{"id":1}}
