-- Old rows keep the old name, new rows have the new one; also across a moved schema.
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
