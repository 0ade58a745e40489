-- Schema 24: moves at most 10,000 jobs to the archive, those that ended twelve hours ago and those that waited longer than
-- they were to be kept. One that the archive has already is dropped, as pg-boss does. Under pg-boss's advisory lock.
-- Returns a row for each that left the table.
WITH old AS (
  SELECT j.name, j.id FROM {job} j
  WHERE j.completed_on < {now} - interval '12h' OR (j.state < 'active' AND j.keep_until < {now})
  LIMIT 10000
  FOR UPDATE OF j SKIP LOCKED
),
gone AS (
  DELETE FROM {job} j USING old o WHERE j.name = o.name AND j.id = o.id
  RETURNING j.*
),
kept AS (
  INSERT INTO {schema}.archive (id, name, priority, data, state, retry_limit, retry_count, retry_delay, retry_backoff, start_after
    , started_on, singleton_key, singleton_on, expire_in, created_on, completed_on, keep_until, output, dead_letter, policy)
  SELECT g.id, g.name, g.priority, g.data, g.state, g.retry_limit, g.retry_count, g.retry_delay, g.retry_backoff, g.start_after
    , g.started_on, g.singleton_key, g.singleton_on, g.expire_in, g.created_on, g.completed_on, g.keep_until, g.output
    , g.dead_letter, g.policy
  FROM gone g
  ON CONFLICT DO NOTHING
)
SELECT 1 FROM gone
