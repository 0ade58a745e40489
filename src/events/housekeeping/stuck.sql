-- Takes up rows that were `processing`, in the same version, for as long as somebody has looked: the worker that had them is dead.
-- $1 text: the outbox's schema, unquoted. $2 float8: after how many seconds. With the flag `bury` they become dead letters, else they
-- are pending again. At most 5,000 rows are looked at. Returns (event_name) of each row that was taken up.
-- Locks: the rows of the outbox, those that others have locked are passed over. Indexes: (status, created_at); the primary keys.
WITH there AS MATERIALIZED (
  SELECT o.id, o.xmin::text AS version FROM {events}.event_outbox o
  WHERE o.status = 'processing' ORDER BY o.created_at LIMIT 5000
), gone AS (
  DELETE FROM {home}.event_processing p
  WHERE p.outbox_schema = $1::text AND NOT EXISTS (SELECT FROM there t WHERE t.id = p.outbox_id)
), seen AS (
  INSERT INTO {home}.event_processing AS p (outbox_schema, outbox_id, version) SELECT $1::text, id, version FROM there
  ON CONFLICT (outbox_schema, outbox_id) DO UPDATE SET version = excluded.version, seen = now() WHERE p.version <> excluded.version
), left_behind AS MATERIALIZED (
  SELECT o.id FROM {events}.event_outbox o
  JOIN {home}.event_processing p ON p.outbox_schema = $1::text AND p.outbox_id = o.id AND p.version = o.xmin::text
  WHERE o.status = 'processing' AND p.seen <= now() - $2::float8 * interval '1s'
  FOR UPDATE OF o SKIP LOCKED
), taken AS (
  UPDATE {events}.event_outbox o
  SET status = 'pending', processed_at = NULL                                  --? !+bury
  SET status = 'failed', processed_at = now(), error_message = 'left in processing by a worker that died; whether its handlers ran is not known' --? +bury
  FROM left_behind l WHERE o.id = l.id
  RETURNING o.*
)
, dead AS (                                                                    --? +bury
  INSERT INTO {events}.event_dead_letter (original_event_id, event_name, event_data, metadata, failure_reason, retry_count) --? +bury
  SELECT id, event_name, event_data, metadata, error_message, retry_count FROM taken --? +bury
)                                                                              --? +bury
SELECT event_name::text FROM taken
