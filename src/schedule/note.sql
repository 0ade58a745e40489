-- Notes what became of occurrences. $1 text schema, $2 text[] names, $3 text[] keys, $4 float8[] occurrences (seconds since
-- the epoch), $5 text[] results, $6 uuid[] jobs. What became of one later goes before what became of it earlier.
INSERT INTO {home}.schedule_occurrence AS o (schema, name, key, occurrence, result, job_id, settled_on)
SELECT DISTINCT ON (e.name, e.key, e.at) $1::text, e.name, e.key, to_timestamp(e.at), e.result, e.job_id, now()
FROM unnest($2::text[], $3::text[], $4::float8[], $5::text[], $6::uuid[]) AS e (name, key, at, result, job_id)
ORDER BY e.name, e.key, e.at, e.job_id
ON CONFLICT (schema, name, key, occurrence) DO UPDATE
SET result = excluded.result, job_id = COALESCE(excluded.job_id, o.job_id), settled_on = excluded.settled_on
