-- The jobs of a queue, newest first, each whole as JSON: also columns that this build does not know.
-- $1 text: the queue. $2 text[]: only these states; NULL for all. $3 uuid[]: only these ids; NULL for all.
-- $4 text: only this singleton key; NULL for all. $5 text: only jobs whose data contains this JSON; NULL for all.
-- $6 bigint: at most so many.
-- Takes no lock. By id the primary key is used; else the queue is read by created_on (i15 from schema 46 on). The rows
-- are chosen first and made JSON afterwards, so that no payload is read in vain.
-- On schema 24 finished jobs move to the archive, which is read too.
WITH chosen AS MATERIALIZED (
    SELECT j.id, j.created_on, false AS archived
    FROM {job} j
    WHERE j.name = $1
      AND ($2::text[] IS NULL OR j.state::text = ANY ($2))
      AND ($3::uuid[] IS NULL OR j.id = ANY ($3))
      AND ($4::text IS NULL OR j.singleton_key = $4)
      AND ($5::text IS NULL OR j.data @> $5::jsonb)
    UNION ALL --? v10
    SELECT j.id, j.created_on, true --? v10
    FROM {schema}.archive j --? v10
    WHERE j.name = $1 --? v10
      AND ($2::text[] IS NULL OR j.state::text = ANY ($2)) --? v10
      AND ($3::uuid[] IS NULL OR j.id = ANY ($3)) --? v10
      AND ($4::text IS NULL OR j.singleton_key = $4) --? v10
      AND ($5::text IS NULL OR j.data @> $5::jsonb) --? v10
    ORDER BY created_on DESC, id
    LIMIT $6
)
SELECT j.id, j.state::text AS state, j.priority, j.retry_count, j.retry_limit, j.singleton_key, j.created_on,
       j.start_after, j.started_on, j.completed_on, row_to_json(j)::text AS everything
FROM chosen c
JOIN {job} j ON j.name = $1 AND j.id = c.id
WHERE NOT c.archived
UNION ALL --? v10
SELECT j.id, j.state::text, j.priority, j.retry_count, j.retry_limit, j.singleton_key, j.created_on, --? v10
       j.start_after, j.started_on, j.completed_on, row_to_json(j)::text --? v10
FROM chosen c --? v10
JOIN {schema}.archive j ON j.name = $1 AND j.id = c.id --? v10
WHERE c.archived --? v10
ORDER BY created_on DESC, id
