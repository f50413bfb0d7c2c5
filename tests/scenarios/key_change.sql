-- An update of a key column has the old key in `before`; an update that sets it to itself has not.
--! setup
create table t (a int, b int, note text, primary key (b, a));
create publication walgate for table t;
--! run
insert into t values (1, 2, 'x');
update t set a = 1;
update t set a = 5;
update t set b = 6, note = 'y';
delete from t;

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"a":1,"b":2},"after":{"a":1,"b":2,"note":"x"}}
{"id":"2.2","op":"update","schema":"public","table":"t","key":{"a":1,"b":2},"after":{"a":1,"b":2,"note":"x"}}
{"id":"3.2","op":"update","schema":"public","table":"t","key":{"a":5,"b":2},"before":{"a":1,"b":2},"after":{"a":5,"b":2,"note":"x"}}
{"id":"4.2","op":"update","schema":"public","table":"t","key":{"a":5,"b":6},"before":{"a":5,"b":2},"after":{"a":5,"b":6,"note":"y"}}
{"id":"5.2","op":"delete","schema":"public","table":"t","key":{"a":5,"b":6},"before":{"a":5,"b":6}}
