-- The attempts at jobs $2 uuid[] of schema $1 text, in their order, by the index over jobs; a thousand at most.
SELECT queue, job_id, retry_count, worker, started_on, ended_on, outcome, error, trace_id
FROM {home}.attempt WHERE schema = $1 AND job_id = ANY ($2) ORDER BY started_on, retry_count LIMIT 1000
