-- The counts of queue $1: those of the monitor's last pass if they are at most $2 int seconds old (-1: never), or while
-- pg-boss spares its vacuum horizon; else counted now. No row if the queue does not exist. Takes no lock. Counting is one
-- pass over the queue's jobs, from schema 46 on over the live ones alone (i14) and those finished since the maintenance counted.
-- Up to schema 36 (12.25) a job of any state counts as deferred while its start lies ahead, and what is not deferred is ready.
SELECT
    CASE WHEN f.fresh THEN q.monitor_on ELSE {now} END AS captured_on          --? !v10
    {now} AS captured_on                                                       --? v10
  , CASE WHEN f.fresh THEN q.deferred_count ELSE c.deferred END AS deferred_count --? !v10
  , CASE WHEN f.fresh THEN q.queued_count ELSE c.queued END AS queued_count    --? !v10
  , CASE WHEN f.fresh THEN q.active_count ELSE c.active END AS active_count    --? !v10
  , CASE WHEN f.fresh THEN q.total_count ELSE c.total END AS total_count       --? !v10
  , c.deferred AS deferred_count, c.queued AS queued_count, c.active AS active_count, c.total AS total_count --? v10
  , CASE WHEN f.fresh THEN q.ready_count ELSE c.ready END AS ready_count       --? notify
  , CASE WHEN f.fresh THEN q.failed_count ELSE c.failed END AS failed_count    --? notify
  , c.ready AS ready_count, c.failed AS failed_count                           --? !notify
FROM {schema}.queue q
CROSS JOIN LATERAL (
  SELECT false AS fresh                                                        --? v10
  SELECT $2::int >= 0 AND q.monitor_on IS NOT NULL AND (                       --? !v10
    q.monitor_on >= {now} - $2::int * interval '1s'                            --? !v10
    OR EXISTS (SELECT FROM {schema}.version v WHERE v.monitor_backoff_on > {now}) --? monitor_claim
  ) AS fresh                                                                   --? !v10
) f
CROSS JOIN LATERAL (
  SELECT l.deferred, l.queued, l.active, l.failed
    , l.ready                                                                  --? deferred_waits
    , GREATEST(l.queued - l.deferred, 0) AS ready                              --? !deferred_waits
    , l.stored AS total                                                        --? !retained_count
    , COALESCE(l.stored + q.retained_count + (                                 --? retained_count
        SELECT count(*)::int FROM {job} j                                      --? retained_count
        WHERE j.name = $1 AND j.completed_on > q.retained_on AND j.completed_on <= {now} --? retained_count
          AND j.state IN ('completed', 'cancelled') AND NOT f.fresh            --? retained_count
      ), GREATEST(l.stored, q.total_count)) AS total                           --? retained_count
  FROM (
    SELECT
        (count(*) FILTER (WHERE j.state < 'active'))::int AS queued
      , (count(*) FILTER (WHERE j.state = 'active'))::int AS active
      , (count(*) FILTER (WHERE j.state = 'failed'))::int AS failed
      , count(*)::int AS stored
      , (count(*) FILTER (WHERE j.start_after > {now}))::int AS deferred       --? !deferred_waits
      , (count(*) FILTER (WHERE j.state < 'active' AND NOT j.blocked AND j.start_after > {now}))::int AS deferred --? source_output
      , (count(*) FILTER (WHERE j.state < 'active' AND j.start_after > {now}))::int AS deferred --? deferred_waits !source_output
      , (count(*) FILTER (WHERE j.state < 'active' AND NOT j.blocked AND j.start_after <= {now}))::int AS ready --? source_output
      , (count(*) FILTER (WHERE j.state < 'active' AND j.start_after <= {now}))::int AS ready --? deferred_waits !source_output
    FROM {job} j
    WHERE j.name = $1 AND NOT f.fresh
      AND j.state IN ('created', 'retry', 'active', 'failed')                  --? retained_count
  ) l
) c
WHERE q.name = $1
