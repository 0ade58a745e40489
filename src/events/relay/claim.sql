-- Relays a batch: claims pending rows oldest first, enters their deliveries, completes them. All of it or nothing.
-- $1 text: pg-boss's schema, unquoted. $2 text: its channel. $3 text: the outbox's schema, unquoted. $4 int: rows at most.
-- With the flag `one`, $5 uuid: this row only, though it waits. With the flag `hold`: rows that somebody subscribes to only.
-- Returns a row per event name: (event_name, rows, queues): how many rows, and how many queues each went to.
-- Locks: the rows of the outbox, those that others have locked are passed over; see delivery/enter.sql for the rest.
-- Indexes: (status, created_at) of the outbox; the primary keys of `event_held` and `subscription`. The sub-selects keep the
-- planner from joining, which would sort the whole backlog for every batch.
WITH event AS MATERIALIZED (
  SELECT o.id AS outbox_id, o.event_name, o.metadata, o.event_data AS data, o.max_retries
    , NULL::uuid AS replay_of, NULL::text AS only_queue
  FROM {events}.event_outbox o
  WHERE o.status = 'pending'
    AND o.id = $5::uuid                                                        --? +one
    AND (SELECT true FROM {home}.event_held h WHERE h.outbox_schema = $3::text AND h.outbox_id = o.id AND h.due > now()) IS NULL --? !+one
    AND (SELECT true FROM {schema}.subscription s WHERE s.event = o.event_name LIMIT 1) --? +hold
  ORDER BY o.created_at
  LIMIT $4::int
  FOR UPDATE OF o SKIP LOCKED
)
