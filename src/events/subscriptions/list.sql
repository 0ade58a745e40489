-- Who subscribes to which event, and whether somebody consumes it. $1 text: pg-boss's schema, unquoted.
-- Returns (event, queue, handler, module, seen float8 seconds since a worker of ours said that it serves the queue, waiting bigint jobs
-- that might run, oldest float8 seconds the first of them has waited). Takes no locks; by the primary keys, and the job tables' own
-- indexes for waiting jobs.
-- Without the flag `home` there is nothing of ours yet.
SELECT s.event, s.name AS queue
  , h.handler_id AS handler, h.module                                          --? +home
  , (SELECT extract(epoch FROM now() - v.seen)::float8 FROM {home}.event_served v WHERE v.schema = $1::text AND v.queue = s.name) AS seen --? +home
  , NULL::text AS handler, NULL::text AS module, NULL::float8 AS seen, $1::text --? !+home
  , w.waiting, w.oldest
FROM {schema}.subscription s
LEFT JOIN {home}.event_handler h ON h.schema = $1::text AND h.queue = s.name AND h.event = s.event --? +home
CROSS JOIN LATERAL (
  SELECT count(*) AS waiting, COALESCE(extract(epoch FROM {now} - min(j.start_after)), 0)::float8 AS oldest
  FROM {job} j WHERE j.name = s.name AND j.state < 'active' AND j.start_after <= {now}
) w
ORDER BY s.event
  , h.place                                                                    --? +home
  , s.name
