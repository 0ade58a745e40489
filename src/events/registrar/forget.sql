-- Forgets the handler $2 of the schema $1 (text, both); returns its event and queue. Locks the row; by the primary key.
DELETE FROM {home}.event_handler WHERE schema = $1 AND handler_id = $2 RETURNING event, queue
