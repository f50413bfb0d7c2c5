-- A large value that an update leaves alone is named in `unchanged`; it is not NULL.
--! setup
create table t (id int primary key, big text, small text);
alter table t alter column big set storage external;
create publication walgate for table t;
--! run
insert into t values (1, repeat('x', 3000), 'a');
update t set small = 'b';
update t set big = null;
update t set big = repeat('y', 2500);
