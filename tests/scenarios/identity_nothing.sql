-- What an event holds of the old row under REPLICA IDENTITY NOTHING: only inserts and truncates can be published.
--! setup
create table t (id int primary key, code text not null, note text);
alter table t replica identity nothing;
create publication walgate for table t with (publish = 'insert, truncate');
--! run
insert into t values (1, 'a', 'one'), (2, 'b', null), (3, 'c', 'three');
truncate t;
