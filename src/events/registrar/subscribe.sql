-- Subscribes queues to events, as pg-boss does. Arrays of one length: $1 text[] event, $2 text[] queue. A queue that is not
-- there breaks the foreign key to `queue`. By the primary key (event, name).
INSERT INTO {schema}.subscription (event, name) SELECT v.event, v.name FROM unnest($1::text[], $2::text[]) AS v(event, name)
ON CONFLICT DO NOTHING
