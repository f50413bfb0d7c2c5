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

--! expect
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"m":"sad","ms":["sad","so \"happy\"",null,"a,b"],"p":"(1,\"x \"\"y\"\"\")","ps":["(1,\"x,y\")",null,"(2,)"],"c":"1.50","f":"2.0","fs":["1.0",null,"3.25"],"fl":[true,false,null],"d":{"a": [1, null]},"ds":[{"a": 1},null,"NULL"]}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"m":null,"ms":null,"p":null,"ps":null,"c":null,"f":null,"fs":null,"fl":null,"d":null,"ds":null}}
