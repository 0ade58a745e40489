-- Raises the counters of the last hour's snapshots of the queues $1 text[], all of one table, where jobs were committed
-- after their window had been counted. A snapshot's window runs from the `delta_on` of the one before to its own; windows
-- from which retention may have taken jobs again are left alone, and no counter ever falls, for the same reason. Runs under
-- the advisory lock `queue-stats`. Schema 43 and later, with `persist_queue_stats`. Returns (seconds) it held the horizon.
WITH reach AS (
  SELECT s.id, s.captured_on, s.name, s.delta_on
    , COALESCE(max(s.delta_on) FILTER (WHERE s.delta_on <= {now} - interval '1h' OR s.delta_seconds IS NULL) OVER queue
      , min(s.delta_on) OVER queue) AS old
    , min(s.delta_on) FILTER (WHERE s.delta_on >= {now} - interval '1s'
      * LEAST(q.retention_seconds, NULLIF(GREATEST(q.deletion_seconds, 0), 0))) OVER queue AS kept
  FROM {schema}.queue_stats s
  JOIN {schema}.queue q ON q.name = s.name
  WHERE s.name = ANY($1::text[]) AND s.captured_on >= {now} - interval '2h' AND s.delta_on IS NOT NULL
  WINDOW queue AS (PARTITION BY s.name)
),
open AS (
  SELECT r.*, CASE WHEN r.kept IS NULL OR r.kept > r.old THEN r.kept ELSE r.old END AS anchor FROM reach r
),
slot AS (
  SELECT o.id, o.captured_on, o.name, o.anchor, o.delta_on
    , row_number() OVER (PARTITION BY o.name ORDER BY o.delta_on, o.captured_on) AS place
  FROM open o WHERE o.delta_on > o.anchor
),
edge AS (
  SELECT s.name, s.anchor, array_prepend(s.anchor, array_agg(s.delta_on ORDER BY s.place)) AS ends
  FROM slot s GROUP BY s.name, s.anchor
),
met AS (
  SELECT e.name, width_bucket(j.created_on, e.ends) AS place, 1 AS created, 0 AS completed, 0 AS failed
  FROM edge e JOIN {table} j ON j.name = e.name AND j.created_on >= e.anchor
  UNION ALL
  SELECT e.name, width_bucket(j.completed_on, e.ends), 0, (j.state = 'completed')::int, (j.state = 'failed')::int
  FROM edge e JOIN {table} j ON j.name = e.name AND j.completed_on >= e.anchor AND j.state IN ('completed', 'failed')
),
total AS (
  SELECT s.id, s.captured_on, sum(m.created)::int AS created, sum(m.completed)::int AS completed, sum(m.failed)::int AS failed
  FROM slot s JOIN met m ON m.name = s.name AND m.place = s.place
  GROUP BY s.id, s.captured_on
),
raised AS (
  UPDATE {schema}.queue_stats s SET
    created_delta = GREATEST(s.created_delta, t.created)
    , completed_delta = GREATEST(s.completed_delta, t.completed)
    , failed_delta = GREATEST(s.failed_delta, t.failed)
  FROM total t
  WHERE s.id = t.id AND s.captured_on = t.captured_on
    AND (t.created > s.created_delta OR t.completed > s.completed_delta OR t.failed > s.failed_delta)
  RETURNING 1
)
SELECT extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 AS seconds FROM (SELECT count(*) FROM raised) r
