-- The subscriptions to event $1 text, or all if it is NULL, by event and queue. Takes no lock.
SELECT event, name FROM {schema}.subscription WHERE $1::text IS NULL OR event = $1 ORDER BY event, name
