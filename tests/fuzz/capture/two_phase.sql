-- Transactions that are prepared, small and streamed, committed and rolled back.

BEGIN;
INSERT INTO id_nothing VALUES (1);
PREPARE TRANSACTION 'plain';
COMMIT PREPARED 'plain';
BEGIN;
INSERT INTO id_nothing VALUES (2);
PREPARE TRANSACTION 'it''s "quoted"';
INSERT INTO id_nothing VALUES (3);
ROLLBACK PREPARED 'it''s "quoted"';
BEGIN;
INSERT INTO id_nothing VALUES (4);
PREPARE TRANSACTION '';
COMMIT PREPARED '';
BEGIN;
INSERT INTO large SELECT i, i FROM generate_series(20001, 20600) i;
PREPARE TRANSACTION 'streamed';
INSERT INTO large VALUES (-3, -3);
COMMIT PREPARED 'streamed';
BEGIN;
INSERT INTO large SELECT i, i FROM generate_series(30001, 30600) i;
PREPARE TRANSACTION 'streamed and rolled back';
ROLLBACK PREPARED 'streamed and rolled back';
INSERT INTO large VALUES (-4, -4);
