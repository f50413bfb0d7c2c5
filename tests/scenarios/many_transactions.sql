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
