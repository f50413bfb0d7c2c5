-- A cascade is as many changes, in the order in which they happen.
--! setup
create table parent (id int primary key);
create table child (id int primary key, parent_id int references parent on delete cascade on update cascade);
create publication walgate for table parent, child;
--! run
insert into parent values (1), (2);
insert into child values (10, 1), (11, 1), (12, 2);
update parent set id = 3 where id = 2;
delete from parent where id = 1;
