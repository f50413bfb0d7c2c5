-- The tables of all captures and what is published of them.

CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);

CREATE TABLE all_types (
    id int PRIMARY KEY DEFAULT 1, b bool DEFAULT true, i2 int2 DEFAULT -1,
    i8 int8 DEFAULT 9223372036854775807, f4 float4 DEFAULT 'NaN', f8 float8 DEFAULT '-Infinity',
    n numeric DEFAULT '12345678901234567890.12345', nn numeric(10, 2) DEFAULT 19.90, t text DEFAULT 'text',
    vc varchar(20) DEFAULT 'varchar', ch char(5) DEFAULT 'c', by bytea DEFAULT '\x00ff',
    d date DEFAULT 'infinity', ti time DEFAULT '24:00:00', tz timetz DEFAULT '10:00:00+02',
    ts timestamp DEFAULT '0044-03-15 12:00:00 BC', tsz timestamptz DEFAULT '2026-11-21 09:30:00.123456+00',
    iv interval DEFAULT '-1 year 2 mons -3 days', u uuid DEFAULT '00000000-0000-0000-0000-000000000001',
    j json DEFAULT '{"a": 1, "a": 2}', jb jsonb DEFAULT '{"sku": "A-7"}', x xml DEFAULT '<a/>',
    ip inet DEFAULT '::1/128', m money DEFAULT 1, bi bit(3) DEFAULT '101', vb varbit DEFAULT '',
    p point DEFAULT '(1,2)', r int4range DEFAULT 'empty', mr nummultirange DEFAULT '{[1,2),(3,)}',
    a int[] DEFAULT '[0:1]={1,NULL}', at text[] DEFAULT '{"NULL",NULL,"q\"uote"}',
    e mood DEFAULT 'ok', ea mood[] DEFAULT '{sad,happy}', c pair DEFAULT '(1,"a,b")', dm positive DEFAULT 7);
CREATE TABLE no_columns ();
CREATE SCHEMA "Quoted ""Schema""";
CREATE TABLE "Quoted ""Schema""".été ("Größe" int PRIMARY KEY, "select" text);
CREATE TABLE id_full (a int, b text, c text);
ALTER TABLE id_full REPLICA IDENTITY FULL;
CREATE TABLE id_index (id int PRIMARY KEY, k text NOT NULL, v text);
CREATE UNIQUE INDEX id_index_k ON id_index (k);
ALTER TABLE id_index REPLICA IDENTITY USING INDEX id_index_k;
CREATE TABLE id_nothing (a int);
ALTER TABLE id_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE toasted (id int PRIMARY KEY, n int, v text);
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL;
CREATE TABLE toasted_key (k text PRIMARY KEY, n int);
ALTER TABLE toasted_key ALTER k SET STORAGE EXTERNAL;
CREATE TABLE filtered (id int PRIMARY KEY, v text);
ALTER TABLE filtered ALTER v SET STORAGE EXTERNAL;
CREATE TABLE column_list (id int PRIMARY KEY, b text, secret text);
CREATE TABLE parted (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (100) TO (10000);
CREATE TABLE changing (id int PRIMARY KEY);
CREATE TABLE large (id int PRIMARY KEY, v int);
CREATE TABLE other (id int PRIMARY KEY, e mood);
CREATE TABLE unpublished (id int);
CREATE PUBLICATION p FOR TABLE all_types, no_columns, "Quoted ""Schema""".été, id_full, id_index,
    id_nothing, toasted, toasted_key, filtered WHERE (id >= 100), column_list (id, b), parted,
    changing, large, other WITH (publish_via_partition_root);
