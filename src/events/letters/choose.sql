-- Replays dead letters: each to the queue of the handler that failed and to no other, as a new delivery; one that never got as far as a
-- handler goes back to the outbox. It leaves the dead letters in the same statement.
-- $1 text: pg-boss's schema, unquoted. $2 text: its channel. $3 uuid[]: which. $4 text: the outbox's schema, unquoted.
-- Returns (id, queue) of what was replayed, with a NULL queue for the outbox; what is left out is gone, or its queue is.
-- Locks: the dead letters, those that others have locked are passed over; the rows of the outbox. By the primary keys.
WITH chosen AS MATERIALIZED (
  SELECT x.*, x.metadata -> 'deadLetter' ->> 'queue' AS only_queue
  FROM {events}.event_dead_letter x WHERE x.id = ANY($3::uuid[])
  FOR UPDATE OF x SKIP LOCKED
), event AS MATERIALIZED (
  SELECT c.original_event_id AS outbox_id, c.event_name, c.metadata - 'deadLetter' AS metadata, c.event_data AS data
    , COALESCE((SELECT o.max_retries FROM {events}.event_outbox o WHERE o.id = c.original_event_id), 3) AS max_retries
    , c.id AS replay_of, c.only_queue
  FROM chosen c WHERE c.only_queue IN (SELECT name FROM {schema}.queue)
)
