-- The row that would be relayed next, to be tried alone. $1 text: the outbox's schema, unquoted. With the flag `hold`: rows that
-- somebody subscribes to only. Returns (id, retry_count). Locks that row; indexes as in claim.sql.
SELECT o.id, o.retry_count
FROM {events}.event_outbox o
WHERE o.status = 'pending'
  AND (SELECT true FROM {home}.event_held h WHERE h.outbox_schema = $1::text AND h.outbox_id = o.id AND h.due > now()) IS NULL
  AND (SELECT true FROM {schema}.subscription s WHERE s.event = o.event_name LIMIT 1) --? +hold
ORDER BY o.created_at
LIMIT 1
FOR UPDATE OF o SKIP LOCKED
