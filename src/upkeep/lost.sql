-- Which of the queues $1 text[] have active jobs whose deadline or lease is over: a look at all tables at once, so that only
-- those are swept where there is something. Takes no locks. Wants i14 (schema 46); before, no index leads to active rows.
SELECT DISTINCT j.name
FROM {job} j
WHERE j.name = ANY($1::text[]) AND j.state = 'active'
  AND (j.started_on + j.expire_in < {now}                                      --? v10
  AND (j.started_on + j.expire_seconds * interval '1s' < {now}                 --? !v10
    OR j.heartbeat_on + j.heartbeat_seconds * interval '1s' < {now}            --? heartbeat
  )
