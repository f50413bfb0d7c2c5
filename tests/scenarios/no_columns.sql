-- A table without columns.
--! setup
create table t ();
create publication walgate for table t with (publish = 'insert, truncate');
--! run
insert into t default values;
insert into t default values;
truncate t;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","after":{}}
{"id":"2.2","op":"insert","schema":"public","table":"t","after":{}}
{"id":"3.2","op":"truncate","schema":"public","table":"t","cascade":false,"restart_identity":false}
