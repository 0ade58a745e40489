-- Says that these queues have a consumer here. $1 text: pg-boss's schema, unquoted. $2 text[] queues. By the primary key.
INSERT INTO {home}.event_served AS s (schema, queue)
SELECT $1::text, q FROM unnest($2::text[]) AS q ORDER BY q
ON CONFLICT (schema, queue) DO UPDATE SET seen = now()
