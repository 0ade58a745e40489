-- The latest occurrences of schema $1 (text), of the queue $2 (text) or, if that is NULL, of all; at most $3 (int8).
SELECT o.name, o.key, o.occurrence, o.result, o.job_id, o.settled_on
FROM {home}.schedule_occurrence o
WHERE o.schema = $1 AND ($2::text IS NULL OR o.name = $2)
ORDER BY o.occurrence DESC, o.name, o.key
LIMIT $3
