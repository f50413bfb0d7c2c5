-- COPY is as many inserts.
--! setup
create table t (id int primary key, note text);
create publication walgate for table t;
--! run
copy t from program 'printf "1\tone\n2\t\\\\N\n3\tthree\n"';

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"note":"one"}}
{"id":"1.3","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"note":null}}
{"id":"1.4","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"note":"three"}}
