-- Deletes jobs of queue $1 text; no row if the queue does not exist.
-- Flag `id`: those with the ids $2 uuid[], in the attempts $3 int[] unless it is NULL; returns their ids, or one NULL.
-- Otherwise: of the next $5 bigint primary keys after $4 uuid (NULL: from the first) those that nobody holds yet (`queued`),
-- that are finished (`stored`), or all; returns how many, and the last of those keys, or NULL if there were fewer. Bounded by
-- keys and not by rows, so that every row is looked at once, and no transaction holds more than a batch.
-- From schema 46 on, with the flag `counts`, what is gone is taken off the counts of the queue's row, which is locked for that.
-- Locks the rows; by the primary key (name, id).
WITH
edge AS MATERIALIZED (                                                         --? !+id
  SELECT j.id FROM {job} j                                                     --? !+id
  WHERE j.name = $1 AND ($4::uuid IS NULL OR j.id > $4)                        --? !+id
  ORDER BY j.id OFFSET $5 - 1 LIMIT 1                                          --? !+id
),                                                                             --? !+id
target AS MATERIALIZED (                                                       --? +id
  SELECT DISTINCT v.id, v.retry_count FROM unnest($2::uuid[], $3::int[]) AS v(id, retry_count) --? +id
),                                                                             --? +id
gone AS (
  DELETE FROM {job} j
  USING target v                                                               --? +id
  WHERE j.name = $1
    AND j.id = v.id                                                            --? +id
    AND (v.retry_count IS NULL OR (j.retry_count = v.retry_count AND j.state = 'active')) --? +id
    AND ($4::uuid IS NULL OR j.id > $4)                                        --? !+id
    AND j.id <= COALESCE((SELECT id FROM edge), 'ffffffff-ffff-ffff-ffff-ffffffffffff') --? !+id
    AND j.state < 'active'                                                     --? +queued
    AND j.state > 'active'                                                     --? +stored
  RETURNING j.id, j.state, j.completed_on
)
, counted AS (                                                                 --? retained_count +counts
  SELECT count(*)::int AS total, (count(*) FILTER (                            --? retained_count +counts
      WHERE g.state IN ('completed', 'cancelled') AND g.completed_on <= q.retained_on))::int AS kept --? retained_count +counts
  FROM gone g JOIN {schema}.queue q ON q.name = $1                             --? retained_count +counts
), reduced AS (                                                                --? retained_count +counts
  UPDATE {schema}.queue q                                                      --? retained_count +counts
  SET retained_count = CASE WHEN q.retained_count IS NOT NULL THEN GREATEST(q.retained_count - c.kept, 0) END --? retained_count +counts
    , total_count = GREATEST(q.total_count - c.total, 0)                       --? retained_count +counts !+id
    , total_count = GREATEST(q.total_count - c.kept, 0)                        --? retained_count +counts +id
  FROM counted c                                                               --? retained_count +counts
  WHERE q.name = $1                                                            --? retained_count +counts
    AND c.total > 0                                                            --? retained_count +counts !+id
    AND c.kept > 0                                                             --? retained_count +counts +id
)                                                                              --? retained_count +counts
SELECT gone.id                                                                 --? +id
FROM {schema}.queue q LEFT JOIN gone ON true                                   --? +id
SELECT (SELECT count(*) FROM gone) AS deleted, (SELECT id FROM edge) AS edge   --? !+id
FROM {schema}.queue q                                                          --? !+id
WHERE q.name = $1
