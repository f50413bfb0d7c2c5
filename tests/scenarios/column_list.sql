-- A publication's column list: columns outside it do not exist here.
--! versions 15,16,17,18
--! args --schema-events
--! setup
create table t (id int primary key, seen text, hidden text);
create publication walgate for table t (id, seen);
--! run
insert into t values (1, 'a', 'secret');
update t set hidden = 'still secret';
delete from t;
