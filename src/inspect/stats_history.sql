-- The snapshots of queue $1 that a supervisor recorded, newest first: no row if the queue does not exist, one without a
-- moment if there are none. $1 text queue, $2 and $3 timestamptz not before and not after (NULL: no bound), $4 bigint at
-- most so many. Flag `bucketed`: one per bucket of time, counted from the Unix epoch; `bucket`: $5 bigint is its width in
-- seconds; `auto`: $5 is how many there may be. Counts are brought together by `max`, `min` or `avg`. What was counted
-- (schema 43 and later) is summed, by the end of the window it was counted in; where no snapshot falls into that bucket, it
-- goes to the one before, or else to the first. Takes no lock; wants queue_stats_i1 (name, captured_on).
WITH
chosen AS MATERIALIZED (                                                       --? +bucketed
  SELECT s.* FROM {schema}.queue_stats s                                       --? +bucketed
  WHERE s.name = $1                                                            --? +bucketed
    AND ($2::timestamptz IS NULL OR s.captured_on >= $2)                       --? +bucketed
    AND ($3::timestamptz IS NULL OR s.captured_on <= $3)                       --? +bucketed
),                                                                             --? +bucketed
width AS (                                                                     --? +bucketed
  SELECT GREATEST($5::bigint, 1)::float8 AS seconds                            --? +bucketed +bucket
  SELECT GREATEST(1, ceil(EXTRACT(epoch FROM                                   --? +bucketed +auto
    LEAST(COALESCE($3::timestamptz, e.last), e.last) - GREATEST(COALESCE($2::timestamptz, e.first), e.first) --? +bucketed +auto
  )::float8 / GREATEST($5::bigint, 1)))::float8 AS seconds                     --? +bucketed +auto
  FROM (SELECT min(captured_on) AS first, max(captured_on) AS last             --? +bucketed +auto
    FROM {schema}.queue_stats WHERE name = $1) e                               --? +bucketed +auto
),                                                                             --? +bucketed
gauge AS MATERIALIZED (                                                        --? +bucketed
  SELECT to_timestamp(floor(EXTRACT(epoch FROM c.captured_on)::float8 / w.seconds) * w.seconds) AS captured_on --? +bucketed
    , max(deferred_count)::int AS deferred_count, max(queued_count)::int AS queued_count, max(ready_count)::int AS ready_count --? +bucketed +max
    , max(active_count)::int AS active_count, max(failed_count)::int AS failed_count, max(total_count)::int AS total_count --? +bucketed +max
    , min(deferred_count)::int AS deferred_count, min(queued_count)::int AS queued_count, min(ready_count)::int AS ready_count --? +bucketed +min
    , min(active_count)::int AS active_count, min(failed_count)::int AS failed_count, min(total_count)::int AS total_count --? +bucketed +min
    , round(avg(deferred_count))::int AS deferred_count, round(avg(queued_count))::int AS queued_count --? +bucketed +avg
    , round(avg(ready_count))::int AS ready_count, round(avg(active_count))::int AS active_count --? +bucketed +avg
    , round(avg(failed_count))::int AS failed_count, round(avg(total_count))::int AS total_count --? +bucketed +avg
  FROM chosen c, width w                                                       --? +bucketed
  GROUP BY 1                                                                   --? +bucketed
),                                                                             --? +bucketed
counted AS MATERIALIZED (                                                      --? +bucketed source_output
  SELECT s.*, COALESCE(                                                        --? +bucketed source_output
      (SELECT max(g.captured_on) FROM gauge g WHERE g.captured_on <= s.bucket), --? +bucketed source_output
      (SELECT min(g.captured_on) FROM gauge g)) AS place                       --? +bucketed source_output
  FROM (                                                                       --? +bucketed source_output
    SELECT s.*, to_timestamp(floor(EXTRACT(epoch FROM s.delta_on)::float8 / w.seconds) * w.seconds) AS bucket --? +bucketed source_output
    FROM {schema}.queue_stats s, width w                                       --? +bucketed source_output
    WHERE s.name = $1 AND s.delta_on IS NOT NULL                               --? +bucketed source_output
      AND ($2::timestamptz IS NULL OR s.delta_on >= $2)                        --? +bucketed source_output
      AND ($3::timestamptz IS NULL OR s.delta_on <= $3)                        --? +bucketed source_output
  ) s                                                                          --? +bucketed source_output
),                                                                             --? +bucketed source_output
counter AS (                                                                   --? +bucketed source_output
  SELECT place, sum(created_delta)::int AS created_delta, sum(completed_delta)::int AS completed_delta --? +bucketed source_output
    , sum(failed_delta)::int AS failed_delta, sum(delta_seconds)::int AS delta_seconds, max(delta_on) AS delta_on --? +bucketed source_output
    , max(ready_oldest_seconds)::int AS ready_oldest_seconds                   --? +bucketed trace_context
  FROM counted GROUP BY place                                                  --? +bucketed source_output
),                                                                             --? +bucketed source_output
histogram AS (                                                                 --? +bucketed trace_context
  SELECT place, array_agg(waits ORDER BY slot) AS wait_bins, array_agg(runs ORDER BY slot) AS run_bins --? +bucketed trace_context
  FROM (                                                                       --? +bucketed trace_context
    SELECT c.place, u.slot, COALESCE(sum(u.waits), 0)::int AS waits, COALESCE(sum(u.runs), 0)::int AS runs --? +bucketed trace_context
    FROM counted c, unnest(c.wait_bins, c.run_bins) WITH ORDINALITY AS u(waits, runs, slot) --? +bucketed trace_context
    WHERE c.wait_bins IS NOT NULL                                              --? +bucketed trace_context
    GROUP BY c.place, u.slot                                                   --? +bucketed trace_context
  ) s                                                                          --? +bucketed trace_context
  GROUP BY place                                                               --? +bucketed trace_context
),                                                                             --? +bucketed trace_context
snapshot AS (
  SELECT g.*                                                                   --? +bucketed
    , c.created_delta, c.completed_delta, c.failed_delta, c.delta_seconds, c.delta_on --? +bucketed source_output
    , c.ready_oldest_seconds, h.wait_bins, h.run_bins                          --? +bucketed trace_context
  FROM gauge g                                                                 --? +bucketed
  LEFT JOIN counter c ON c.place = g.captured_on                               --? +bucketed source_output
  LEFT JOIN histogram h ON h.place = g.captured_on                             --? +bucketed trace_context
  ORDER BY g.captured_on DESC                                                  --? +bucketed
  LIMIT $4                                                                     --? +bucketed +bucket
  LIMIT LEAST($4::bigint, $5::bigint)                                          --? +bucketed +auto
  SELECT s.* FROM {schema}.queue_stats s                                       --? !+bucketed
  WHERE s.name = $1                                                            --? !+bucketed
    AND ($2::timestamptz IS NULL OR s.captured_on >= $2)                       --? !+bucketed
    AND ($3::timestamptz IS NULL OR s.captured_on <= $3)                       --? !+bucketed
  ORDER BY s.captured_on DESC                                                  --? !+bucketed
  LIMIT $4                                                                     --? !+bucketed
)
SELECT s.captured_on, s.deferred_count, s.queued_count, s.ready_count, s.active_count, s.failed_count, s.total_count
  , s.created_delta, s.completed_delta, s.failed_delta, s.delta_seconds, s.delta_on --? source_output
  , s.ready_oldest_seconds, s.wait_bins, s.run_bins                            --? trace_context
FROM {schema}.queue q
LEFT JOIN snapshot s ON true
WHERE q.name = $1
ORDER BY s.captured_on DESC
