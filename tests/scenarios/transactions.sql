-- `begin` and `commit` on request; a commit tells how many changes this output was given.
--! args --transactions --table public.t
--! setup
create table t (id int primary key);
create table u (id int primary key);
create publication walgate for table t, u;
--! run
begin;
insert into t values (1), (2);
insert into u values (1);
commit;
insert into u values (2);
insert into t values (3);
