-- What an event holds of the old row under REPLICA IDENTITY NOTHING: only inserts and truncates can be published.
--! setup
create table t (id int primary key, code text not null, note text);
alter table t replica identity nothing;
create publication walgate for table t with (publish = 'insert, truncate');
--! run
insert into t values (1, 'a', 'one'), (2, 'b', null), (3, 'c', 'three');
truncate t;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","after":{"id":1,"code":"a","note":"one"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","after":{"id":2,"code":"b","note":null}}
{"id":"1.4","op":"insert","schema":"public","table":"t","after":{"id":3,"code":"c","note":"three"}}
{"id":"2.2","op":"truncate","schema":"public","table":"t","cascade":false,"restart_identity":false}
