-- Writes rows to an outbox as the app does. $1 text: the event's name. $2 bigint: how many.
INSERT INTO {events}.event_outbox (event_name, event_data, metadata)
SELECT $1::text, jsonb_build_object('orderId', 'o-' || n, 'items', jsonb_build_array(n, n + 1), 'note', repeat('x', 100))
  , jsonb_build_object('eventId', gen_random_uuid(), 'eventName', $1::text, 'timestamp', '2026-01-02T03:04:05.678Z'
    , 'sourceModule', 'bench', 'correlationId', gen_random_uuid(), 'version', 'v1')
FROM generate_series(1, $2::bigint) n
