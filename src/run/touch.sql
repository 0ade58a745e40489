-- Renews the leases of attempts that are still theirs; returns (name, id) of those renewed.
-- Arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count. Locks the rows; by the primary key (name, id).
UPDATE {table} j
SET heartbeat_on = {now}
FROM unnest($1::text[], $2::uuid[], $3::int[]) AS v(name, id, retry_count)
WHERE j.name = v.name AND j.id = v.id AND j.state = 'active' AND j.retry_count = v.retry_count
RETURNING j.name, j.id
