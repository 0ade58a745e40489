-- Ends subscriptions of a queue and forgets the handler behind it. $1 text: pg-boss's schema, unquoted. $2 text event, or NULL for every
-- event. $3 text queue. Returns the events. Locks the rows; by the primary keys.
WITH ended AS (
  DELETE FROM {schema}.subscription s WHERE s.name = $3::text AND ($2::text IS NULL OR s.event = $2::text) RETURNING s.event
), forgotten AS (
  DELETE FROM {home}.event_handler h WHERE h.schema = $1::text AND h.queue = $3::text AND ($2::text IS NULL OR h.event = $2::text)
), unserved AS (
  DELETE FROM {home}.event_served v WHERE v.schema = $1::text AND v.queue = $3::text
)
SELECT event FROM ended ORDER BY event
