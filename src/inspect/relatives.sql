-- The parents (flag `parents`) or children (`children`) of job $2 uuid of queue $1 text, by queue and id; only those after
-- ($3 text, $4 uuid) unless they are NULL, $5 bigint at most so many. Takes no lock; the primary key, or job_dep_parent_idx.
SELECT d.parent_name AS name, d.parent_id AS id                                --? +parents
SELECT d.child_name AS name, d.child_id AS id                                  --? +children
FROM {schema}.job_dependency d
WHERE d.child_name = $1 AND d.child_id = $2                                    --? +parents
  AND ($3::text IS NULL OR (d.parent_name, d.parent_id) > ($3, $4::uuid))      --? +parents
WHERE d.parent_name = $1 AND d.parent_id = $2                                  --? +children
  AND ($3::text IS NULL OR (d.child_name, d.child_id) > ($3, $4::uuid))        --? +children
ORDER BY 1, 2
LIMIT $5
