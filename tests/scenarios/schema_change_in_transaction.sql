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
