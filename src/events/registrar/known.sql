-- The handlers that are registered, in their places. $1 text: pg-boss's schema, unquoted. Takes no locks; by the primary key.
SELECT handler_id, event, queue, place FROM {home}.event_handler WHERE schema = $1 ORDER BY place, handler_id
