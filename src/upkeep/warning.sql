-- Keeps a warning: $1 text type, $2 text message, $3 text its data as JSON. Schema 29 and later.
INSERT INTO {schema}.warning (type, message, data, created_on) VALUES ($1::text, $2::text, $3::text::jsonb, {now})
