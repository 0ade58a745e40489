-- Sets a row aside that cannot be relayed: it is tried again later, or has been tried often enough and goes to the dead letters.
-- $1 text: the outbox's schema, unquoted. $2 uuid: the row. $3 text: why. $4 float8: seconds until it is tried again.
-- Returns (status, event_name). Locks the row; by the primary keys.
WITH tried AS (
  UPDATE {events}.event_outbox o
  SET retry_count = LEAST(o.retry_count + 1, GREATEST(o.max_retries, o.retry_count))
    , error_message = $3::text
    , status = CASE WHEN o.retry_count < o.max_retries THEN 'pending' ELSE 'failed' END
    , processed_at = CASE WHEN o.retry_count < o.max_retries THEN o.processed_at ELSE now() END
  WHERE o.id = $2::uuid AND o.status = 'pending'
  RETURNING o.*
), held AS (
  INSERT INTO {home}.event_held AS h (outbox_schema, outbox_id, due)
  SELECT $1::text, id, now() + $4::float8 * interval '1s' FROM tried WHERE status = 'pending'
  ON CONFLICT (outbox_schema, outbox_id) DO UPDATE SET due = excluded.due
), freed AS (
  DELETE FROM {home}.event_held h USING tried t
  WHERE t.status = 'failed' AND h.outbox_schema = $1::text AND h.outbox_id = t.id
), dead AS (
  INSERT INTO {events}.event_dead_letter (original_event_id, event_name, event_data, metadata, failure_reason, retry_count)
  SELECT id, event_name, event_data, metadata, $3::text, retry_count FROM tried WHERE status = 'failed'
)
SELECT status::text, event_name::text FROM tried
