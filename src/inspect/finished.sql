-- Of each of the queues $1 text[], by name: how many of its jobs have ended well and badly within the last $2 float8 seconds,
-- counted up to $3 bigint of both. Wants i16 (schema 46), along which each count ends. Takes no lock.
SELECT q.name
  , count(*) FILTER (WHERE f.state = 'completed') AS completed
  , count(*) FILTER (WHERE f.state = 'failed') AS failed
FROM unnest($1::text[]) AS q (name)
LEFT JOIN LATERAL (
  SELECT j.state FROM {job} j
  WHERE j.name = q.name AND j.completed_on > {now} - $2::float8 * interval '1 second'
  ORDER BY j.completed_on DESC LIMIT $3
) f ON true
GROUP BY q.name
ORDER BY q.name
