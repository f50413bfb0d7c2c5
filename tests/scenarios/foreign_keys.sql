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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"parent","key":{"id":1},"after":{"id":1}}
{"id":"1.3","op":"insert","schema":"public","table":"parent","key":{"id":2},"after":{"id":2}}
{"id":"2.2","op":"insert","schema":"public","table":"child","key":{"id":10},"after":{"id":10,"parent_id":1}}
{"id":"2.3","op":"insert","schema":"public","table":"child","key":{"id":11},"after":{"id":11,"parent_id":1}}
{"id":"2.4","op":"insert","schema":"public","table":"child","key":{"id":12},"after":{"id":12,"parent_id":2}}
{"id":"3.2","op":"update","schema":"public","table":"parent","key":{"id":3},"before":{"id":2},"after":{"id":3}}
{"id":"3.3","op":"update","schema":"public","table":"child","key":{"id":12},"after":{"id":12,"parent_id":3}}
{"id":"4.2","op":"delete","schema":"public","table":"parent","key":{"id":1},"before":{"id":1}}
{"id":"4.3","op":"delete","schema":"public","table":"child","key":{"id":10},"before":{"id":10}}
{"id":"4.4","op":"delete","schema":"public","table":"child","key":{"id":11},"before":{"id":11}}
