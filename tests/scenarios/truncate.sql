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
