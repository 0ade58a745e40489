-- How many dead letters of queue $1 a redrive would move to which queue, and how many it would leave, in a row without a
-- destination; of either kind at most $7 bigint are read. Parameters and conditions are those of redrive.sql. Takes no lock.
WITH candidate AS (
  SELECT q.name AS destination
  FROM {table} j
  LEFT JOIN {schema}.queue q ON q.name = COALESCE($2, j.source_name)
  WHERE j.name = $1 AND j.state < 'active'
    AND NOT EXISTS (                                                           --? strict_fifo
      SELECT FROM {table} k                                                    --? strict_fifo
      WHERE j.policy = 'key_strict_fifo' AND k.policy = 'key_strict_fifo'      --? strict_fifo
        AND k.name = j.name AND k.singleton_key = j.singleton_key              --? strict_fifo
        AND k.state IN ('active', 'retry', 'failed')                           --? strict_fifo
    )                                                                          --? strict_fifo
    AND ($3::text IS NULL OR j.source_name = $3)
    AND ($4::text IS NULL OR j.data @> $4::text::jsonb)
    AND ($5::timestamptz IS NULL OR j.created_on < $5)
    AND ($6::uuid[] IS NULL OR j.id = ANY ($6))
)
SELECT r.destination, count(*) AS count
FROM (
  (SELECT destination FROM candidate WHERE destination IS NOT NULL LIMIT $7)
  UNION ALL
  (SELECT NULL::text FROM candidate WHERE destination IS NULL LIMIT $7)
) r
GROUP BY r.destination
