-- Transactions that are larger than logical_decoding_work_mem (64 kB), so they are streamed.
-- The inner psql runs while the outer transaction is open: their blocks interleave.

BEGIN;
INSERT INTO large SELECT i, i FROM generate_series(1, 500) i;
\! psql -qX -c "BEGIN; INSERT INTO other SELECT i, 'sad' FROM generate_series(1, 450) i; SAVEPOINT s; INSERT INTO other SELECT i, 'ok' FROM generate_series(451, 900) i; ROLLBACK TO s; INSERT INTO id_nothing VALUES (7); COMMIT"
SELECT pg_logical_emit_message(true, 'in stream', 'transactional');
SELECT pg_logical_emit_message(false, 'between blocks', 'not transactional');
SAVEPOINT one;
ALTER TABLE large ADD COLUMN added text;
INSERT INTO large SELECT i, i, 'x' FROM generate_series(501, 900) i;
ROLLBACK TO one;
INSERT INTO large SELECT i, i FROM generate_series(501, 900) i;
UPDATE large SET v = 0 WHERE id % 10 = 0;
DELETE FROM large WHERE id > 850;
TRUNCATE other;
COMMIT;
INSERT INTO large VALUES (-1, -1);

BEGIN;
INSERT INTO large SELECT i, i FROM generate_series(10001, 10600) i;
ROLLBACK;
INSERT INTO large VALUES (-2, -2);
