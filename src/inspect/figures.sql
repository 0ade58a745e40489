-- Of each queue, by name: how many of its jobs wait for what, counted up to $1 bigint of each sort, and for how long the
-- first of the due ones has waited; and the same as the last supervision pass wrote it into the queue's row, with the age of
-- that. At most 1000 queues. Takes no lock. The cost is bounded whatever the tables hold: each count ends at $1 entries of an
-- index. Wants i14 (schema 46) and counts everything; else i5 (up to 39) or i11 (40 to 45), which lead to waiting jobs that
-- are not blocked and to no others: there the rest is NULL, and the queue's row is all there is.
-- By i11, which is not in order of time, `due` and `oldest` are those of the first $1 jobs that wait.
-- Numbers are subtracted, not times: PostgreSQL refuses to subtract from infinity.
SELECT q.name, q.policy, q.dead_letter
  , EXISTS (SELECT FROM {schema}.queue o WHERE o.dead_letter = q.name) AS buries
  , p.ready, p.deferred, p.blocked, p.active, p.failed
  , EXTRACT(epoch FROM {now})::float8 - p.first AS oldest
  , (c.r ->> 'ready_count')::bigint AS ready_then
  , (c.r ->> 'deferred_count')::bigint AS deferred_then
  , (c.r ->> 'blocked_count')::bigint AS blocked_then
  , (c.r ->> 'active_count')::bigint AS active_then
  , (c.r ->> 'failed_count')::bigint AS failed_then
  , (c.r ->> 'ready_oldest_seconds')::float8 AS oldest_then
  , EXTRACT(epoch FROM {now} - (c.r ->> 'monitor_on')::timestamptz)::float8 AS age
  , (c.r ->> 'completed_delta')::float8 / NULLIF((c.r ->> 'delta_seconds')::float8, 0) AS completed_rate
  , (c.r ->> 'failed_delta')::float8 / NULLIF((c.r ->> 'delta_seconds')::float8, 0) AS failed_rate
  , EXTRACT(epoch FROM {now} - (c.r ->> 'delta_on')::timestamptz)::float8 AS rate_age
FROM (SELECT * FROM {schema}.queue ORDER BY name LIMIT 1000) q
CROSS JOIN LATERAL (SELECT to_jsonb(q) AS r) c
CROSS JOIN LATERAL (                                                           --? live_index
  SELECT (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'created' AND j.blocked = false --? live_index
            AND j.start_after <= {now} LIMIT $1) w)                            --? live_index
       + (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = false --? live_index
            AND j.start_after <= {now} LIMIT $1) w) AS ready                   --? live_index
    , (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'created' AND j.blocked = false --? live_index
            AND j.start_after > {now} LIMIT $1) w)                             --? live_index
       + (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = false --? live_index
            AND j.start_after > {now} LIMIT $1) w) AS deferred                 --? live_index
    , (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'created' AND j.blocked = true LIMIT $1) w) --? live_index
       + (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = true LIMIT $1) w) AS blocked --? live_index
    , (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'active' LIMIT $1) w) AS active --? live_index
    , (SELECT count(*) FROM (SELECT FROM {job} j WHERE j.name = q.name AND j.state = 'failed' LIMIT $1) w) AS failed --? live_index
    , EXTRACT(epoch FROM LEAST((                                               --? live_index
        SELECT j.start_after FROM {job} j WHERE j.name = q.name AND j.state = 'created' AND j.blocked = false --? live_index
          AND j.start_after <= {now} ORDER BY j.start_after LIMIT 1            --? live_index
      ), (                                                                     --? live_index
        SELECT j.start_after FROM {job} j WHERE j.name = q.name AND j.state = 'retry' AND j.blocked = false --? live_index
          AND j.start_after <= {now} ORDER BY j.start_after LIMIT 1            --? live_index
      )))::float8 AS first                                                     --? live_index
CROSS JOIN LATERAL (                                                           --? !live_index
  SELECT count(*) FILTER (WHERE w.start_after <= {now}) AS ready               --? !live_index
    , count(*) FILTER (WHERE w.start_after > {now}) AS deferred                --? !live_index
    , NULL::bigint AS blocked, NULL::bigint AS active, NULL::bigint AS failed  --? !live_index
    , EXTRACT(epoch FROM min(w.start_after) FILTER (WHERE w.start_after <= {now}))::float8 AS first --? !live_index
  FROM (                                                                       --? !live_index
    SELECT j.start_after FROM {job} j WHERE j.name = q.name AND j.state < 'active' --? !live_index
      AND NOT j.blocked                                                        --? !live_index flows
    ORDER BY j.start_after                                                     --? !live_index !priority_index
    LIMIT $1                                                                   --? !live_index
  ) w                                                                          --? !live_index
) p
ORDER BY q.name
