-- DROP and CREATE make another table that the publication does not have.
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
insert into t values (1);
drop table t;
create table t (id int primary key, other text);
insert into t values (2, 'not published');
alter publication walgate add table t;
insert into t values (3, 'published');

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"other":"published"}}
