-- REPLICA IDENTITY FULL on a table without a primary key: whole old rows, no key.
--! setup
create table t (id int, note text);
alter table t replica identity full;
create publication walgate for table t;
--! run
insert into t values (1, 'one'), (1, 'one'), (2, null);
update t set note = 'two' where id = 2;
delete from t where ctid = (select min(ctid) from t);

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","after":{"id":1,"note":"one"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","after":{"id":1,"note":"one"}}
{"id":"1.4","op":"insert","schema":"public","table":"t","after":{"id":2,"note":null}}
{"id":"2.2","op":"update","schema":"public","table":"t","before":{"id":2,"note":null},"after":{"id":2,"note":"two"}}
{"id":"3.2","op":"delete","schema":"public","table":"t","before":{"id":1,"note":"one"}}
