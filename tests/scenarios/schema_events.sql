-- `schema` before the first row that uses a definition, and again when it has changed.
--! args --schema-events
--! setup
create type mood as enum ('sad', 'happy');
create domain positive as int check (value > 0);
create table t (id int primary key, price numeric(10,2), tags text[], m mood, p positive, moods mood[]);
create publication walgate for table t;
--! run
insert into t values (1, 1.5, '{a}', 'sad', 3, '{sad,happy}');
insert into t values (2, 2.5, '{b}', 'happy', 4, '{}');
alter table t add column note text;
insert into t values (3, 3.5, null, null, null, null, 'n');
