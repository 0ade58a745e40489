-- Forgets rows of the outbox that are gone or done. $1 text: the outbox's schema, unquoted. By the primary key of the outbox.
DELETE FROM {home}.event_held h
WHERE h.outbox_schema = $1::text AND h.due < now() - interval '1 hour'
  AND NOT EXISTS (SELECT FROM {events}.event_outbox o WHERE o.id = h.outbox_id AND o.status = 'pending')
