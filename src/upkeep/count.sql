-- Counts the jobs of the queues $1 text[], all of one table, and writes what the queue's row caches of it as pg-boss's own
-- monitor does, for Node's getQueueStats, its dashboard and its bursts. Runs under the advisory lock `queue-stats`. Flag
-- `history`: counts what came and went since `delta_on`, too; a gap of more than $2 float8 seconds starts afresh. The window
-- ends ten seconds ago, so that what commits late is still ahead of it.
-- Returns (name, queued, threshold, late, seconds): late where jobs have appeared in windows that were written already (see
-- true_up.sql), and how long this statement has held the horizon of vacuum.
-- Up to schema 45 it reads the whole table; from 46 on live jobs by i14, those created by i15, those finished by i16. The
-- queue's rows are locked, in the order of their names, only when all is counted.
WITH gauge AS (
  SELECT j.name
    , count(*) FILTER (WHERE j.start_after > {now}) AS deferred                --? !deferred_waits
    , count(*) FILTER (WHERE j.state < 'active' AND j.start_after > {now}) AS deferred --? deferred_waits !latency
    , count(*) FILTER (WHERE j.state < 'active' AND NOT j.blocked AND j.start_after > {now}) AS deferred --? latency
    , count(*) FILTER (WHERE j.state < 'active' AND NOT j.blocked AND j.start_after <= {now}) AS ready --? latency
    , count(*) FILTER (WHERE j.state < 'active' AND j.blocked) AS blocked      --? latency
    , count(*) FILTER (WHERE j.state < 'active') AS queued
    , count(*) FILTER (WHERE j.state = 'active') AS active
    , count(*) FILTER (WHERE j.state = 'failed') AS failed
    , count(*) AS total
    , array_agg(j.singleton_key) FILTER (WHERE j.state = 'active' AND j.policy IN ('singleton', 'stately')) AS keys --? !retained_count
  FROM {table} j
  WHERE j.name = ANY($1::text[])
    AND j.state IN ('created', 'retry', 'active', 'failed')                    --? retained_count
  GROUP BY j.name
),
held_keys AS (                                                                 --? retained_count
  SELECT j.name, array_agg(j.singleton_key) AS keys FROM {table} j             --? retained_count
  WHERE j.name = ANY($1::text[]) AND j.state = 'active' AND j.policy IN ('singleton', 'stately') --? retained_count
  GROUP BY j.name                                                              --? retained_count
),                                                                             --? retained_count
finished AS (                                                                  --? retained_count
  SELECT q.name, q.retained_on AS since                                        --? retained_count
    , (SELECT count(*) FROM {table} j WHERE j.name = q.name AND j.completed_on > q.retained_on --? retained_count
        AND j.completed_on <= {now} - interval '10s' AND j.state IN ('completed', 'cancelled')) AS settled --? retained_count
    , (SELECT count(*) FROM {table} j WHERE j.name = q.name AND j.completed_on <= {now} --? retained_count
        AND j.completed_on > GREATEST(q.retained_on, {now} - interval '10s') AND j.state IN ('completed', 'cancelled')) AS recent --? retained_count
  FROM {schema}.queue q WHERE q.name = ANY($1::text[])                         --? retained_count
),                                                                             --? retained_count
span AS (                                                                      --? throughput +history
  SELECT q.name, {now} - interval '10s' AS until, a.anchor, w.top, w.written   --? throughput +history
    , CASE WHEN q.delta_on > {now} - interval '10s' - $2::float8 * interval '1s' THEN q.delta_on END AS since --? throughput +history
  FROM {schema}.queue q                                                        --? throughput +history
  LEFT JOIN LATERAL (                                                          --? throughput +history
    SELECT CASE WHEN b.kept IS NULL OR b.kept > b.old THEN b.kept ELSE b.old END AS anchor --? throughput +history
    FROM (                                                                     --? throughput +history
      SELECT COALESCE(max(s.delta_on) FILTER (WHERE s.delta_on <= {now} - interval '1h' OR s.delta_seconds IS NULL), min(s.delta_on)) AS old --? throughput +history
        , min(s.delta_on) FILTER (WHERE s.delta_on >= {now} - interval '1s' *  --? throughput +history
            LEAST(q.retention_seconds, NULLIF(GREATEST(q.deletion_seconds, 0), 0))) AS kept --? throughput +history
      FROM {schema}.queue_stats s                                              --? throughput +history
      WHERE s.name = q.name AND s.captured_on >= {now} - interval '2h' AND s.delta_on IS NOT NULL --? throughput +history
    ) b                                                                        --? throughput +history
  ) a ON true                                                                  --? throughput +history
  LEFT JOIN LATERAL (                                                          --? throughput +history
    SELECT max(s.delta_on) AS top, sum(s.created_delta + s.completed_delta + s.failed_delta) AS written --? throughput +history
    FROM {schema}.queue_stats s                                                --? throughput +history
    WHERE s.name = q.name AND s.captured_on >= {now} - interval '2h' AND s.delta_on > a.anchor --? throughput +history
  ) w ON true                                                                  --? throughput +history
  WHERE q.name = ANY($1::text[])                                               --? throughput +history
),                                                                             --? throughput +history
passed AS (                                                                    --? throughput +history
  SELECT p.name, p.until, round(extract(epoch FROM p.until - p.since))::int AS seconds --? throughput +history
    , (SELECT count(*) FROM {table} j WHERE j.name = p.name AND j.created_on >= p.since AND j.created_on < p.until) AS created --? throughput +history
    , done.completed, done.failed                                              --? throughput +history
    , bins.wait AS wait_bins, bins.run AS run_bins                             --? throughput latency +history
    , (SELECT round(extract(epoch FROM {now} - min(GREATEST(j.created_on, j.start_after))))::int FROM {table} j --? throughput latency +history
        WHERE j.name = p.name AND j.state < 'active' AND NOT j.blocked AND j.start_after <= {now}) AS oldest --? throughput latency +history
    , (SELECT count(*) FROM {table} j WHERE j.name = p.name AND j.created_on >= p.anchor AND j.created_on < p.top) --? throughput +history
      + (SELECT count(*) FROM {table} j WHERE j.name = p.name AND j.completed_on >= p.anchor AND j.completed_on < p.top --? throughput +history
          AND j.state IN ('completed', 'failed')) > p.written AS late          --? throughput +history
  FROM span p                                                                  --? throughput +history
  CROSS JOIN LATERAL (                                                         --? throughput +history
    SELECT count(*) FILTER (WHERE j.state = 'completed') AS completed, count(*) FILTER (WHERE j.state = 'failed') AS failed --? throughput +history
    FROM {table} j WHERE j.name = p.name AND j.completed_on >= p.since AND j.completed_on < p.until --? throughput +history
  ) done                                                                       --? throughput +history
  CROSS JOIN LATERAL (                                                         --? throughput latency +history
    SELECT array_agg(b.waited ORDER BY b.slot) AS wait, array_agg(b.ran ORDER BY b.slot) AS run FROM ( --? throughput latency +history
      SELECT s.slot                                                            --? throughput latency +history
        , NULLIF(count(*) FILTER (WHERE t.waited = s.slot), 0)::int AS waited  --? throughput latency +history
        , NULLIF(count(*) FILTER (WHERE t.ran = s.slot), 0)::int AS ran        --? throughput latency +history
      FROM generate_series(0, 47) s(slot)                                      --? throughput latency +history
      LEFT JOIN (                                                              --? throughput latency +history
        SELECT LEAST(GREATEST(floor((ln(GREATEST(date_part('epoch', j.started_on - GREATEST(j.created_on, j.start_after)), 0.001)) --? throughput latency +history
            - ln(0.01::float8)) / (ln(2::float8) / 2))::int + 1, 0), 47) AS waited --? throughput latency +history
          , LEAST(GREATEST(floor((ln(GREATEST(date_part('epoch', j.completed_on - j.started_on), 0.001)) --? throughput latency +history
            - ln(0.01::float8)) / (ln(2::float8) / 2))::int + 1, 0), 47) AS ran --? throughput latency +history
        FROM {table} j WHERE j.name = p.name AND j.completed_on >= p.since AND j.completed_on < p.until --? throughput latency +history
          AND j.state IN ('completed', 'failed') AND j.started_on IS NOT NULL  --? throughput latency +history
      ) t ON s.slot IN (t.waited, t.ran)                                       --? throughput latency +history
      GROUP BY s.slot                                                          --? throughput latency +history
    ) b                                                                        --? throughput latency +history
  ) bins                                                                       --? throughput latency +history
),                                                                             --? throughput +history
counted AS MATERIALIZED (
  SELECT n.name
    , COALESCE(g.deferred, 0)::int AS deferred, COALESCE(g.queued, 0)::int AS queued, COALESCE(g.active, 0)::int AS active
    , COALESCE(g.failed, 0)::int AS failed, COALESCE(g.total, 0)::int AS total
    , GREATEST(COALESCE(g.queued - g.deferred, 0), 0)::int AS ready            --? !latency
    , COALESCE(g.ready, 0)::int AS ready, COALESCE(g.blocked, 0)::int AS blocked --? latency
    , g.keys                                                                   --? !retained_count
    , k.keys, f.since, COALESCE(f.settled, 0)::int AS settled, COALESCE(f.recent, 0)::int AS recent --? retained_count
    , COALESCE(p.created, 0)::int AS created, COALESCE(p.completed, 0)::int AS completed --? throughput +history
    , COALESCE(p.failed, 0)::int AS gone, p.seconds, p.until, COALESCE(p.late, false) AS late --? throughput +history
    , p.wait_bins, p.run_bins, COALESCE(p.oldest, 0) AS oldest                 --? throughput latency +history
  FROM unnest($1::text[]) AS n(name)
  LEFT JOIN gauge g ON g.name = n.name
  LEFT JOIN held_keys k ON k.name = n.name                                     --? retained_count
  LEFT JOIN finished f ON f.name = n.name                                      --? retained_count
  LEFT JOIN passed p ON p.name = n.name                                        --? throughput +history
),
held AS (
  SELECT q.name FROM {schema}.queue q
  WHERE q.name = ANY($1::text[]) AND (SELECT count(*) FROM counted) >= 0
  ORDER BY q.name
  FOR NO KEY UPDATE
)
UPDATE {schema}.queue q SET
  deferred_count = c.deferred, queued_count = c.queued, active_count = c.active, singletons_active = c.keys
  , total_count = c.total                                                      --? !retained_count
  , ready_count = c.ready, failed_count = c.failed                             --? ready_count
  , blocked_count = c.blocked                                                  --? latency
  , monitor_on = {now}                                                         --? monitor_claim
  , ready_history = (ARRAY[c.ready] || q.ready_history)[1:60]                  --? queue_history
  , retained_count = CASE WHEN q.retained_on IS NOT DISTINCT FROM c.since THEN q.retained_count + c.settled ELSE q.retained_count END --? retained_count
  , retained_on = CASE WHEN q.retained_on IS NOT NULL AND q.retained_on IS NOT DISTINCT FROM c.since --? retained_count
      THEN GREATEST(q.retained_on, {now} - interval '10s') ELSE q.retained_on END --? retained_count
  , total_count = CASE WHEN q.retained_count IS NULL THEN GREATEST(q.total_count, c.total) --? retained_count
      WHEN q.retained_on IS NOT DISTINCT FROM c.since THEN c.total + q.retained_count + c.settled + c.recent --? retained_count
      ELSE q.total_count END                                                   --? retained_count
  , created_delta = c.created, completed_delta = c.completed, failed_delta = c.gone --? throughput +history
  , delta_seconds = CASE WHEN c.seconds < 0 THEN 0 ELSE c.seconds END          --? throughput +history
  , delta_on = GREATEST(q.delta_on, c.until)                                   --? throughput +history
  , wait_bins = c.wait_bins, run_bins = c.run_bins, ready_oldest_seconds = c.oldest --? throughput latency +history
FROM held h JOIN counted c ON c.name = h.name
WHERE q.name = h.name
RETURNING q.name, q.queued_count AS queued, q.warning_queued AS threshold
  , c.late                                                                     --? throughput +history
  , false AS late                                                              --? !throughput
  , false AS late                                                              --? throughput !+history
  , extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS seconds
