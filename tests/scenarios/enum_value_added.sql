-- An enum value that did not exist when the table was made.
--! setup
create type mood as enum ('sad');
create table t (id int primary key, m mood);
create publication walgate for table t;
--! run
insert into t values (1, 'sad');
alter type mood add value 'happy';
insert into t values (2, 'happy');
