-- `schema` before the first row that uses a definition, and again when it has changed.
--! args --schema-events
--! setup
create type mood as enum ('sad', 'happy');
create domain positive as int check (value > 0);
create table t (id int primary key, price numeric(10,2), tags text[], m mood, p positive, moods mood[]);
create publication walgate for table t;
--! run
insert into t values (1, 1.5, '{a}', 'sad', 3, '{sad,happy}');
insert into t values (2, 2.5, '{b}', 'happy', 4, '{}');
alter table t add column note text;
insert into t values (3, 3.5, null, null, null, null, 'n');

--! expect
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"price","type":"numeric","type_oid":1700,"typmod":655366,"key":false},{"name":"tags","type":"_text","type_oid":1009,"typmod":-1,"key":false},{"name":"m","type":"mood","typmod":-1,"key":false},{"name":"p","type":"int4","typmod":-1,"key":false,"shape":"integer"},{"name":"moods","type":"_mood","typmod":-1,"key":false,"shape":"text[]"}],"replica_identity":"default"}
{"id":"1.2","op":"insert","schema":"public","table":"t","key":{"id":1},"after":{"id":1,"price":"1.50","tags":["a"],"m":"sad","p":3,"moods":["sad","happy"]}}
{"id":"2.2","op":"insert","schema":"public","table":"t","key":{"id":2},"after":{"id":2,"price":"2.50","tags":["b"],"m":"happy","p":4,"moods":[]}}
{"op":"schema","schema":"public","table":"t","columns":[{"name":"id","type":"int4","type_oid":23,"typmod":-1,"key":true,"identity":true},{"name":"price","type":"numeric","type_oid":1700,"typmod":655366,"key":false},{"name":"tags","type":"_text","type_oid":1009,"typmod":-1,"key":false},{"name":"m","type":"mood","typmod":-1,"key":false},{"name":"p","type":"int4","typmod":-1,"key":false,"shape":"integer"},{"name":"moods","type":"_mood","typmod":-1,"key":false,"shape":"text[]"},{"name":"note","type":"text","type_oid":25,"typmod":-1,"key":false}],"replica_identity":"default"}
{"id":"3.2","op":"insert","schema":"public","table":"t","key":{"id":3},"after":{"id":3,"price":"3.50","tags":null,"m":null,"p":null,"moods":null,"note":"n"}}
