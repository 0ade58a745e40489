, done AS (
  UPDATE {events}.event_outbox o SET status = 'completed', processed_at = now(), error_message = NULL
  FROM event e WHERE o.id = e.outbox_id
)
, freed AS (
  DELETE FROM {home}.event_held h USING event e WHERE h.outbox_schema = $3::text AND h.outbox_id = e.outbox_id
)
SELECT e.event_name, count(*) AS rows
  , (SELECT count(*) FROM target t WHERE t.event = e.event_name) AS queues
  , (SELECT count(*) FROM woken) AS woken
FROM event e
GROUP BY e.event_name
