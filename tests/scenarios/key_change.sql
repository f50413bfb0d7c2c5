-- An update of a key column has the old key in `before`; an update that sets it to itself has not.
--! setup
create table t (a int, b int, note text, primary key (b, a));
create publication walgate for table t;
--! run
insert into t values (1, 2, 'x');
update t set a = 1;
update t set a = 5;
update t set b = 6, note = 'y';
delete from t;
