-- Renews the leases of attempts that are still theirs; returns (name, id) of those. Where the schema has no heartbeats
-- (before 30) it only reads whether they still are.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count. Locks the rows; by the primary key (name, id).
UPDATE {table} j                                                               --? heartbeat
SET heartbeat_on = {now}                                                       --? heartbeat
SELECT j.name, j.id                                                            --? !heartbeat
FROM unnest($1::text[], $2::uuid[], $3::int[]) AS v(name, id, retry_count)
, {table} j                                                                    --? !heartbeat
WHERE j.name = v.name AND j.id = v.id AND j.state = 'active' AND j.retry_count = v.retry_count
RETURNING j.name, j.id                                                         --? heartbeat
