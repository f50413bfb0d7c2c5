-- One event for each table of the statement, with its options.
--! setup
create table a (id int primary key);
create table b (id int primary key references a);
create table c (id int primary key);
create publication walgate for table a, b, c;
--! run
truncate a, c cascade;
truncate c restart identity;
begin;
insert into c values (1);
truncate c;
insert into c values (2);
commit;

--! expect
{"id":"1.2","op":"truncate","schema":"public","table":"a","cascade":true,"restart_identity":false}
{"id":"1.3","op":"truncate","schema":"public","table":"c","cascade":true,"restart_identity":false}
{"id":"1.4","op":"truncate","schema":"public","table":"b","cascade":true,"restart_identity":false}
{"id":"2.2","op":"truncate","schema":"public","table":"c","cascade":false,"restart_identity":true}
{"id":"3.2","op":"insert","schema":"public","table":"c","key":{"id":1},"after":{"id":1}}
{"id":"3.3","op":"truncate","schema":"public","table":"c","cascade":false,"restart_identity":false}
{"id":"3.4","op":"insert","schema":"public","table":"c","key":{"id":2},"after":{"id":2}}
