-- Subscribes queue $2 text to event $1 text; returns no row if the queue does not exist. Locks the row.
INSERT INTO {schema}.subscription AS s (event, name, created_on, updated_on)
SELECT $1, q.name, {now}, {now} FROM {schema}.queue q WHERE q.name = $2
ON CONFLICT (event, name) DO UPDATE SET updated_on = excluded.updated_on
RETURNING 1
