-- The backlog of the outbox. Returns (pending bigint, oldest float8 seconds, held bigint): of the pending rows, how many nobody
-- subscribes to. Takes no locks; index (status, created_at).
SELECT count(*) AS pending
  , COALESCE(extract(epoch FROM now() - min(o.created_at)), 0)::float8 AS oldest
  , count(*) FILTER (WHERE o.event_name NOT IN (SELECT event FROM {schema}.subscription)) AS held --? +hold
  , 0::bigint AS held                                                          --? !+hold
FROM {events}.event_outbox o
WHERE o.status = 'pending'
