-- The keys of queue $1 that a failed job blocks, sorted: no row if the queue does not exist, one without a key if there are
-- none; beside each whether the queue is of that policy. $1 text queue, $2 text only keys after this one (NULL: all),
-- $3 bigint at most so many. Takes no lock; wants i8 (name, singleton_key) where state is active, retry or failed.
SELECT q.policy = 'key_strict_fifo' AS strict, k.singleton_key
FROM {schema}.queue q
LEFT JOIN LATERAL (
  SELECT DISTINCT j.singleton_key
  FROM {job} j
  WHERE j.name = $1 AND j.state = 'failed' AND j.policy = 'key_strict_fifo'
    AND ($2::text IS NULL OR j.singleton_key > $2)
  ORDER BY j.singleton_key
  LIMIT $3
) k ON true
WHERE q.name = $1
ORDER BY k.singleton_key
