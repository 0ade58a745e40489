-- Counts how many lives before this one, of the same name on the same host, ended without a word since the last that ended
-- with one. $1 uuid id, $2 float8 seconds since this process began. A life counts once it is dead: silent for three beats,
-- or of this very pid and silent since before this process began, as in a container that was started again. What the
-- first of them had counted stands for those that were pruned. Locks the row of $1. Schema 44 and later.
WITH me AS (
  SELECT id, name, host, pid, started_on, {now} - $2::float8 * interval '1 second' AS began
  FROM {schema}.instance
  WHERE id = $1::uuid
), before AS (
  SELECT i.*
    , i.heartbeat_on < {now} - 3 * i.heartbeat_seconds * interval '1 second'
      OR i.pid = me.pid AND i.heartbeat_on < me.began AS dead
  FROM {schema}.instance i, me
  WHERE i.id <> me.id AND i.host = me.host AND i.name IS NOT DISTINCT FROM me.name
    AND i.started_on < me.started_on AND i.heartbeat_on <= me.started_on
    AND NOT (i.pid = me.pid AND i.started_on >= me.began)
), crashed AS (
  SELECT b.crash_restarts, COALESCE(b.crash_restarts_since, b.heartbeat_on) AS since
    , row_number() OVER (ORDER BY b.started_on, b.id) AS place, count(*) OVER () AS lives
  FROM before b
  WHERE b.dead AND b.stopped_on IS NULL
    AND b.started_on > COALESCE((SELECT max(s.started_on) FROM before s WHERE s.stopped_on IS NOT NULL), '-infinity')
)
UPDATE {schema}.instance i
SET crash_restarts = COALESCE(c.crash_restarts + c.lives, 0)::int, crash_restarts_since = c.since
FROM me LEFT JOIN crashed c ON c.place = 1
WHERE i.id = me.id
