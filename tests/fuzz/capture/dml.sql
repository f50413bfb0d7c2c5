-- Every kind of row message, relation, type, truncate and message, outside of streaming.
-- Published beforehand: see schema.sql. One statement outside BEGIN is one transaction.

INSERT INTO all_types DEFAULT VALUES;
INSERT INTO all_types (id, t) VALUES (2, E'quo"te \\ back\nline \u00e9\U0001F600'), (3, '');
UPDATE all_types SET n = NULL, e = 'happy' WHERE id = 2;
UPDATE all_types SET id = 20 WHERE id = 2;
DELETE FROM all_types WHERE id = 3;

INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO "Quoted ""Schema""".été VALUES (1, 'x');

INSERT INTO id_full VALUES (1, 'a', NULL), (2, 'b', repeat('long', 800));
UPDATE id_full SET b = 'c' WHERE a = 2;
DELETE FROM id_full WHERE a = 1;
INSERT INTO id_index VALUES (1, 'one', 'x');
UPDATE id_index SET v = 'y';
UPDATE id_index SET k = 'two';
DELETE FROM id_index;
INSERT INTO id_nothing VALUES (1);

-- TOAST: unchanged and changed, beside a changed key, in the key itself.
INSERT INTO toasted VALUES (1, 1, repeat('external', 400));
UPDATE toasted SET n = 2;
UPDATE toasted SET id = 3;
INSERT INTO toasted_key VALUES (repeat('k', 2500), 1);
UPDATE toasted_key SET n = 2;
UPDATE toasted SET v = 'short';

-- A row filter turns an update into an insert, and into a delete; the insert keeps a value that
-- was not sent.
INSERT INTO filtered VALUES (1, repeat('hidden', 500));
UPDATE filtered SET id = 100;
UPDATE filtered SET id = 2;
INSERT INTO column_list VALUES (1, 'seen', 'not seen');
UPDATE column_list SET b = 'seen again', id = 2;

INSERT INTO parted VALUES (1, 'low'), (1000, 'high');
UPDATE parted SET id = 1001 WHERE id = 1;

-- Another definition in the middle of a transaction; savepoints, one rolled back.
BEGIN;
INSERT INTO changing VALUES (1);
SAVEPOINT one;
INSERT INTO changing VALUES (2);
ROLLBACK TO one;
ALTER TABLE changing ADD COLUMN added mood DEFAULT 'ok';
INSERT INTO changing VALUES (3, 'sad');
SAVEPOINT two;
ALTER TABLE changing RENAME TO changed;
INSERT INTO changed VALUES (4, NULL);
RELEASE two;
SELECT pg_logical_emit_message(true, 'walgate', 'transactional');
SELECT pg_logical_emit_message(false, 'walgate', 'on its own');
COMMIT;
SELECT pg_logical_emit_message(false, '', '');
SELECT pg_logical_emit_message(true, 'bytes', '\x00ff80'::bytea);

TRUNCATE id_full;
TRUNCATE all_types, id_index RESTART IDENTITY CASCADE;
TRUNCATE parted;

-- A transaction with nothing in it that is published, and one that came from elsewhere.
INSERT INTO unpublished VALUES (1);
SELECT pg_replication_origin_create('elsewhere');
SELECT pg_replication_origin_session_setup('elsewhere');
BEGIN;
SELECT pg_replication_origin_xact_setup('16/B374D848', '1999-12-31 23:59:59+00');
INSERT INTO id_nothing VALUES (2);
COMMIT;
SELECT pg_replication_origin_session_reset();
