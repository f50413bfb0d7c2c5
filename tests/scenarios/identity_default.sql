-- What an event holds of the old row under REPLICA IDENTITY DEFAULT.
--! setup
create table t (id int primary key, code text not null, note text);
create publication walgate for table t;
--! run
insert into t values (1, 'a', 'one'), (2, 'b', null), (3, 'c', 'three');
update t set note = 'changed' where id = 1;
update t set id = 20, code = 'z' where id = 2;
delete from t where id = 3;
truncate t;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"code":"a","note":"one"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"code":"b","note":null}}
{"id":"1.4","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"code":"c","note":"three"}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"code":"a","note":"changed"}}
{"id":"3.2","op":"update","schema":"public","table":"t","key":{"id":20},"before":{"id":2},"after":{"id":20,"code":"z","note":null}}
{"id":"4.2","op":"delete","schema":"public","table":"t","key":{"id":3},"before":{"id":3}}
{"id":"5.2","op":"truncate","schema":"public","table":"t","cascade":false,"restart_identity":false}
