-- Names come as PostgreSQL has them: never quoted, never folded.
--! setup
create schema "Weird schema";
create table "Weird schema"."Ta""ble.with ""dots""" ("select" int primary key, "Ünïcödé 表" text, "a\b" text, "tab	name" text, "id" int);
create publication walgate for table "Weird schema"."Ta""ble.with ""dots""";
--! run
insert into "Weird schema"."Ta""ble.with ""dots""" values (1, 'ä "quoted" \ back', e'line\nfeed', e'\x01\x1f\x7f', 5);
update "Weird schema"."Ta""ble.with ""dots""" set "id" = 6;
