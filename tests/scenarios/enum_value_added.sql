-- An enum value that did not exist when the table was made.
--! setup
create type mood as enum ('sad');
create table t (id int primary key, m mood);
create publication walgate for table t;
--! run
insert into t values (1, 'sad');
alter type mood add value 'happy';
insert into t values (2, 'happy');

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"m":"sad"}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"m":"happy"}}
