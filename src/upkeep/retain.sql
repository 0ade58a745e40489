-- Deletes, of the next 10,000 jobs of a queue by id, those past their retention: finished ones by `deletion_seconds`, waiting
-- ones by `keep_until`, active ones never. $1 text queue, $2 uuid the last id of the step before, or NULL, $3 timestamptz up
-- to when finished jobs that stay are counted. Returns (next, deleted, counted, retained): the last id of this step, or NULL
-- after the last one; how many were deleted; how many of those `retained_count` held; how many finished ones stay.
-- Runs under the advisory lock `<table>deletion`. Goes by the primary key: however large the queue, a step is a step.
WITH step AS (
  SELECT j.id FROM {table} j WHERE j.name = $1::text AND ($2::uuid IS NULL OR j.id > $2::uuid)
  ORDER BY j.id OFFSET 9999 LIMIT 1
),
gone AS (
  DELETE FROM {table} j
  WHERE j.name = $1::text AND ($2::uuid IS NULL OR j.id > $2::uuid)
    AND j.id <= COALESCE((SELECT s.id FROM step s), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    AND ((
        j.deletion_seconds > 0 AND                                             --? keep_forever
        j.completed_on + j.deletion_seconds * interval '1s' < {now})
      OR (j.state < 'active' AND j.keep_until < {now}))
  RETURNING j.state, j.completed_on
)
SELECT (SELECT s.id FROM step s) AS next, (SELECT count(*) FROM gone) AS deleted
  , 0::bigint AS counted, 0::bigint AS retained, $3::timestamptz AS until      --? !retained_count
  , (SELECT count(*) FROM gone g WHERE g.state IN ('completed', 'cancelled')   --? retained_count
      AND g.completed_on <= (SELECT q.retained_on FROM {schema}.queue q WHERE q.name = $1::text)) AS counted --? retained_count
  , (SELECT count(*) FROM {table} j WHERE j.name = $1::text AND ($2::uuid IS NULL OR j.id > $2::uuid) --? retained_count
      AND j.id <= COALESCE((SELECT s.id FROM step s), 'ffffffff-ffff-ffff-ffff-ffffffffffff') --? retained_count
      AND j.state IN ('completed', 'cancelled') AND j.completed_on <= $3::timestamptz) --? retained_count
    - (SELECT count(*) FROM gone g WHERE g.state IN ('completed', 'cancelled') AND g.completed_on <= $3::timestamptz) AS retained --? retained_count
