-- REPLICA IDENTITY FULL on a table without a primary key: whole old rows, no key.
--! setup
create table t (id int, note text);
alter table t replica identity full;
create publication walgate for table t;
--! run
insert into t values (1, 'one'), (1, 'one'), (2, null);
update t set note = 'two' where id = 2;
delete from t where ctid = (select min(ctid) from t);
