-- Many small transactions keep their order.
--! setup
create table t (id int primary key);
create publication walgate for table t;
create procedure fill() language plpgsql as $$
begin
    for i in 1 .. 20 loop
        insert into t values (i);
        commit;
    end loop;
end $$;
--! run
call fill();

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2}}
{"id":"3.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3}}
{"id":"4.2","op":"insert","schema":"public","table":"t","key":{"id":4},"after":{"id":4}}
{"id":"5.2","op":"insert","schema":"public","table":"t","key":{"id":5},"after":{"id":5}}
{"id":"6.2","op":"insert","schema":"public","table":"t","key":{"id":6},"after":{"id":6}}
{"id":"7.2","op":"insert","schema":"public","table":"t","key":{"id":7},"after":{"id":7}}
{"id":"8.2","op":"insert","schema":"public","table":"t","key":{"id":8},"after":{"id":8}}
{"id":"9.2","op":"insert","schema":"public","table":"t","key":{"id":9},"after":{"id":9}}
{"id":"10.2","op":"insert","schema":"public","table":"t","key":{"id":10},"after":{"id":10}}
{"id":"11.2","op":"insert","schema":"public","table":"t","key":{"id":11},"after":{"id":11}}
{"id":"12.2","op":"insert","schema":"public","table":"t","key":{"id":12},"after":{"id":12}}
{"id":"13.2","op":"insert","schema":"public","table":"t","key":{"id":13},"after":{"id":13}}
{"id":"14.2","op":"insert","schema":"public","table":"t","key":{"id":14},"after":{"id":14}}
{"id":"15.2","op":"insert","schema":"public","table":"t","key":{"id":15},"after":{"id":15}}
{"id":"16.2","op":"insert","schema":"public","table":"t","key":{"id":16},"after":{"id":16}}
{"id":"17.2","op":"insert","schema":"public","table":"t","key":{"id":17},"after":{"id":17}}
{"id":"18.2","op":"insert","schema":"public","table":"t","key":{"id":18},"after":{"id":18}}
{"id":"19.2","op":"insert","schema":"public","table":"t","key":{"id":19},"after":{"id":19}}
{"id":"20.2","op":"insert","schema":"public","table":"t","key":{"id":20},"after":{"id":20}}
