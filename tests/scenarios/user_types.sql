-- Arrays of user-defined types nest; domains are as their base type, over any depth.
--! setup
create type mood as enum ('sad', 'so "happy"', 'a,b');
create type pair as (a int, b text);
create domain price as numeric check (value >= 0);
create domain fair_price as price;
create domain flags as bool[];
create domain doc as jsonb;
create table t (id int primary key, m mood, ms mood[], p pair, ps pair[], c price, f fair_price, fs fair_price[], fl flags, d doc, ds doc[]);
create publication walgate for table t;
--! run
insert into t values (1, 'sad', array['sad', 'so "happy"', null, 'a,b']::mood[], (1, 'x "y"'), array[(1, 'x,y'), null, (2, null)]::pair[], 1.50, 2.0, '{1.0,NULL,3.25}', '{t,f,NULL}', '{"a": [1, null]}', array['{"a": 1}', 'null', '"NULL"']::jsonb[]);
insert into t (id) values (2);
