-- Says what came of the command $1 uuid: $2 text an error, or NULL.
UPDATE {schema}.bam b SET status = CASE WHEN $2::text IS NULL THEN 'completed' ELSE 'failed' END, error = $2::text, completed_on = {now}
WHERE b.id = $1::uuid
