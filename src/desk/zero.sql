-- Sets the counts of queue $1 text, or of all if it is NULL, to none, once their jobs are gone. What finished is counted from
-- ten seconds ago on, where pg-boss's monitor begins its next window. Locks the queues' rows, in the order of their names.
UPDATE {schema}.queue q
SET deferred_count = 0, blocked_count = 0, queued_count = 0, ready_count = 0, active_count = 0, failed_count = 0
  , total_count = 0, retained_count = 0, retained_on = {now} - interval '10s', singletons_active = NULL, monitor_on = {now}
FROM (
  SELECT name FROM {schema}.queue WHERE $1::text IS NULL OR name = $1 ORDER BY name FOR NO KEY UPDATE
) w
WHERE q.name = w.name
