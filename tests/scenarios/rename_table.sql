-- Old rows keep the old name, new rows have the new one; also across a moved schema. Before 16 the
-- server does not announce a table again when only its schema was renamed.
--! setup
create schema other;
create table t (id int primary key);
create publication walgate for table t;
--! run
insert into t values (1);
alter table t rename to renamed;
insert into renamed values (2);
alter table renamed set schema other;
insert into other.renamed values (3);
alter schema other rename to moved;
insert into moved.renamed values (4);

--! expect 14,15
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"2.2","op":"insert","schema":"public","table":"renamed","key":{"id":2},"after":{"id":2}}
{"id":"3.2","op":"insert","schema":"other","table":"renamed","key":{"id":3},"after":{"id":3}}
{"id":"4.2","op":"insert","schema":"other","table":"renamed","key":{"id":4},"after":{"id":4}}
--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"2.2","op":"insert","schema":"public","table":"renamed","key":{"id":2},"after":{"id":2}}
{"id":"3.2","op":"insert","schema":"other","table":"renamed","key":{"id":3},"after":{"id":3}}
{"id":"4.2","op":"insert","schema":"moved","table":"renamed","key":{"id":4},"after":{"id":4}}
