-- How many jobs of queue $1 text match (flag `count`), or the ids of at most $6 bigint of them (`ids`). $2 text[] only these
-- states, $3 uuid[] only these ids, $4 text only this singleton key, $5 text only data that contains this JSON; NULL: any.
-- Takes no lock; one pass over the queue's jobs, or by the primary key for ids.
SELECT count(*) AS count                                                       --? +count
SELECT j.id                                                                    --? +ids
FROM {job} j
WHERE j.name = $1
  AND ($2::text[] IS NULL OR j.state::text = ANY ($2))
  AND ($3::uuid[] IS NULL OR j.id = ANY ($3))
  AND ($4::text IS NULL OR j.singleton_key = $4)
  AND ($5::text IS NULL OR j.data @> $5::text::jsonb)
LIMIT $6                                                                       --? +ids
