-- Notes the job that each schedule sent last. $1 text[] names, $2 text[] keys, $3 uuid[] jobs. Schema 41 and later.
UPDATE {schema}.schedule s
SET last_job_id = l.job
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS l (name, key, job)
WHERE s.name = l.name AND COALESCE(s.key, '') = l.key
