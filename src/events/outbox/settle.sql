-- Does to rows of the outbox what the operator chose. $1 uuid[]: which. $2 text: the status they have to have still. $3 text: the
-- outbox's schema, unquoted. Flags: `requeue` (they are relayed again), `complete` (they are done), `bury` (they become dead letters).
-- Returns their ids. Locks the rows, those that others have locked are passed over; by the primary key.
WITH chosen AS MATERIALIZED (
  SELECT o.id FROM {events}.event_outbox o WHERE o.id = ANY($1::uuid[]) AND o.status = $2::text FOR UPDATE OF o SKIP LOCKED
), settled AS (
  UPDATE {events}.event_outbox o
  SET status = 'pending', retry_count = 0, processed_at = NULL, error_message = NULL --? +requeue
  SET status = 'completed', processed_at = now(), error_message = NULL         --? +complete
  SET status = 'failed', processed_at = now(), error_message = 'an operator set it aside: ' || o.status --? +bury
  FROM chosen c WHERE o.id = c.id
  RETURNING o.*
), freed AS (
  DELETE FROM {home}.event_held h USING chosen c WHERE h.outbox_schema = $3::text AND h.outbox_id = c.id
)
, dead AS (                                                                    --? +bury
  INSERT INTO {events}.event_dead_letter (original_event_id, event_name, event_data, metadata, failure_reason, retry_count) --? +bury
  SELECT id, event_name, event_data, metadata, error_message, retry_count FROM settled --? +bury
)                                                                              --? +bury
SELECT id FROM settled
