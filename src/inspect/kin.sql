-- The dead letters of job $1 uuid, and from schema 43 on what was redriven of them, oldest first; a hundred at most. Takes no
-- lock; from schema 43 on by i12 (source_root_id), before by a pass over the jobs.
SELECT j.name, j.id, j.state::text AS state, j.created_on, j.source_id IS NOT NULL AS letter
FROM {job} j
WHERE j.source_root_id = $1                                                    --? source_output
WHERE j.source_id = $1                                                         --? !source_output
ORDER BY j.created_on
LIMIT 100
