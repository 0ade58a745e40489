-- Puts an event into the outbox as the app does; returns the row's id. $1 text: name; $2 text, $3 text: payload and metadata, JSON.
INSERT INTO {app}.event_outbox (event_name, event_data, metadata) VALUES ($1, $2::text::jsonb, $3::text::jsonb) RETURNING id
