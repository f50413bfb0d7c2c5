-- Transactions without a change that is published emit nothing, on any version.
--! args --transactions
--! setup
create table t (id int primary key);
create table unpublished (id int primary key);
create publication walgate for table t;
--! run
insert into unpublished values (1);
begin;
insert into unpublished values (2);
commit;
create table other (id int);
insert into t values (1);
insert into unpublished values (3);
