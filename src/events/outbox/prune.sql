-- Deletes rows of one of the app's event tables that are old enough, at most 10,000 at once. $1 float8: seconds. One flag says which:
-- `outbox` (completed rows), `dead_letters`, `log`, `history`; with the flag `count` nothing is deleted, and all are counted. Returns
-- the count. Locks the rows; indexes by time.
WITH old AS (
  SELECT id FROM {events}.event_outbox WHERE status = 'completed' AND created_at <= now() - $1::float8 * interval '1s' --? +outbox
  SELECT id FROM {events}.event_dead_letter WHERE failed_at <= now() - $1::float8 * interval '1s' --? +dead_letters
  SELECT id FROM {events}.event_processing_log WHERE processed_at <= now() - $1::float8 * interval '1s' --? +log
  SELECT id FROM {events}.event_history WHERE emitted_at <= now() - $1::float8 * interval '1s' --? +history
  LIMIT 10000                                                                  --? !+count
)
, gone AS (                                                                    --? !+count
  DELETE FROM {events}.event_outbox WHERE id IN (SELECT id FROM old) RETURNING id --? +outbox !+count
  DELETE FROM {events}.event_dead_letter WHERE id IN (SELECT id FROM old) RETURNING id --? +dead_letters !+count
  DELETE FROM {events}.event_processing_log WHERE id IN (SELECT id FROM old) RETURNING id --? +log !+count
  DELETE FROM {events}.event_history WHERE id IN (SELECT id FROM old) RETURNING id --? +history !+count
)                                                                              --? !+count
SELECT count(*) FROM gone                                                      --? !+count
SELECT count(*) FROM old                                                       --? +count
