-- A prepared transaction comes when it is committed.
--! setup
create table t (id int primary key);
create publication walgate for table t;
--! run
insert into t values (1);
begin;
insert into t values (2);
prepare transaction 'two_phase_scenario';
insert into t values (3);
commit prepared 'two_phase_scenario';
begin;
insert into t values (4);
prepare transaction 'two_phase_scenario';
rollback prepared 'two_phase_scenario';

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3}}
{"id":"3.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
