-- Renews the leases of attempts that are still theirs; returns (name, id) of those. Where the schema has no heartbeats
-- (before 30) it only reads whether they still are.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count. Locks the rows, and leaves out those that
-- another transaction holds, for the other leases must not run out waiting for it; by the primary key (name, id):
-- CASE and sub-selects as in settle/complete.sql.
WITH ours AS MATERIALIZED (
  SELECT j.name, j.id
  FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]), (SELECT $3::int[])) AS v(name, id, retry_count)
  JOIN {table} j ON j.name = v.name AND j.id = v.id
  WHERE CASE WHEN j.state = 'active' THEN j.retry_count = v.retry_count END
  FOR NO KEY UPDATE OF j SKIP LOCKED                                           --? heartbeat
)
SELECT name, id FROM ours                                                      --? !heartbeat
UPDATE {table} j                                                               --? heartbeat
SET heartbeat_on = {now}                                                       --? heartbeat
FROM ours                                                                      --? heartbeat
WHERE j.name = ours.name AND j.id = ours.id                                    --? heartbeat
RETURNING j.name, j.id                                                         --? heartbeat
