-- Takes filed occurrences to forward them: at most $1 (int8), the oldest first. Locks their rows; those that somebody else
-- has are passed over. Index: i11 (i5 before schema 40).
SELECT
    j.id,
    j.data::text AS data,
    j.singleton_key,
    date_part('epoch', j.singleton_on)::float8 AS slot,
    {now} AS now
FROM {job} j
WHERE j.name = '__pgboss__send-it'
    AND j.state < 'active'
    AND j.start_after <= {now}
    AND NOT j.blocked --? flows
ORDER BY j.priority DESC, j.created_on
LIMIT $1::int8
FOR UPDATE OF j SKIP LOCKED
