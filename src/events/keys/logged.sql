-- Which of these keys are in the event system's log; returns their places, counted from 1 (bigint).
-- Arrays of one length: $1 text[] handler, $2 text[] idempotency key. Takes no locks. Wants idx_event_processing_log_handler_idempotency.
SELECT v.place FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS v(handler, key, place)
WHERE EXISTS (SELECT FROM {log} l WHERE l.handler_name = v.handler AND l.idempotency_key = v.key)
