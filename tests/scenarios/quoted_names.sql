-- Names come as PostgreSQL has them: never quoted, never folded.
--! setup
create schema "Weird schema";
create table "Weird schema"."Ta""ble.with ""dots""" ("select" int primary key, "Ünïcödé 表" text, "a\b" text, "tab	name" text, "id" int);
create publication walgate for table "Weird schema"."Ta""ble.with ""dots""";
--! run
insert into "Weird schema"."Ta""ble.with ""dots""" values (1, 'ä "quoted" \ back', e'line\nfeed', e'\x01\x1f\x7f', 5);
update "Weird schema"."Ta""ble.with ""dots""" set "id" = 6;

--! expect
{"id":"1.2","op":"insert","schema":"Weird schema","table":"Ta\"ble.with \"dots\"","key":{"select":1},"after":{"select":1,"Ünïcödé 表":"ä \"quoted\" \\ back","a\\b":"line\nfeed","tab\tname":"\u0001\u001f","id":5}}
{"id":"2.2","op":"update","schema":"Weird schema","table":"Ta\"ble.with \"dots\"","key":{"select":1},"after":{"select":1,"Ünïcödé 表":"ä \"quoted\" \\ back","a\\b":"line\nfeed","tab\tname":"\u0001\u001f","id":6}}
