-- Which deliveries of sequential handlers have others ahead of them that are not done: those of the same event to the sequential
-- handlers in the places before theirs, as long as these are subscribed. Returns the place of the question (bigint, counted
-- from 1) and the seconds (float8) until the latest of those ahead may run; what has nothing ahead is left out.
-- $1 text: pg-boss's schema, unquoted. Arrays of one length: $2 text[] handler, $3 uuid[] row of the outbox.
-- Takes no locks; by the primary keys of `event_handler`, `subscription` and the job table.
SELECT v.place, max(GREATEST(extract(epoch FROM j.start_after - {now}), 0))::float8
FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS v(handler, outbox, place)
JOIN {home}.event_handler own ON own.schema = $1 AND own.handler_id = v.handler
JOIN {home}.event_handler ahead ON ahead.schema = $1 AND ahead.event = own.event AND ahead.sequential AND ahead.place < own.place
JOIN {schema}.subscription s ON s.event = ahead.event AND s.name = ahead.queue
JOIN {job} j ON j.name = ahead.queue AND j.id = {delivery_id}
WHERE j.state < 'completed'
GROUP BY v.place
