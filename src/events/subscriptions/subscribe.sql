-- Subscribes a queue to an event, as pg-boss does. $1 text event, $2 text queue. By the primary key (event, name).
INSERT INTO {schema}.subscription (event, name) VALUES ($1::text, $2::text) ON CONFLICT (event, name) DO UPDATE SET updated_on = now()
