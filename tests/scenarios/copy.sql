-- COPY is as many inserts.
--! setup
create table t (id int primary key, note text);
create publication walgate for table t;
--! run
copy t from program 'printf "1\tone\n2\t\\\\N\n3\tthree\n"';
