-- Of each of the queues $1 text[], by name: how many of its jobs have completed, and how many have failed for good, a second,
-- within the last $2 float8 seconds; where they are more than $3 bigint, within the time the last $3 took.
-- Takes no lock. Wants i16 (schema 46), along which each count ends.
SELECT q.name, f.completed / f.seconds AS completed, f.failed / f.seconds AS failed
FROM unnest($1::text[]) AS q (name)
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE e.state = 'completed') AS completed
    , count(*) FILTER (WHERE e.state = 'failed') AS failed
    , CASE WHEN count(*) < $3 THEN $2
        ELSE GREATEST(EXTRACT(epoch FROM {now} - min(e.completed_on))::float8, 0.1) END AS seconds
  FROM (
    SELECT j.state, j.completed_on FROM {job} j
    WHERE j.name = q.name AND j.completed_on > {now} - $2::float8 * interval '1 second'
    ORDER BY j.completed_on DESC LIMIT $3
  ) e
) f
ORDER BY q.name
