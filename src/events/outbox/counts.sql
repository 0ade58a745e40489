-- How many rows of the outbox are in which status, and the age of the oldest (float8 seconds). Takes no locks; reads the whole index
-- (status, created_at).
SELECT o.status::text, count(*) AS rows, extract(epoch FROM now() - min(o.created_at))::float8 AS oldest
FROM {events}.event_outbox o GROUP BY o.status ORDER BY o.status
