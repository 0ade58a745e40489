-- Registers handlers, or says anew what is known of them. $1 text: pg-boss's schema, unquoted. Arrays of one length:
-- $2 text[] handler, $3 text[] event, $4 text[] module, $5 text[] queue, $6 bool[] sequential, $7 int[] attempts or NULL,
-- $8 bigint[] place. Locks the rows; by the primary key.
INSERT INTO {home}.event_handler (schema, handler_id, event, module, queue, sequential, max_attempts, place)
SELECT $1, v.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bool[], $7::int[], $8::bigint[]) AS v
ON CONFLICT (schema, handler_id) DO UPDATE
SET event = excluded.event, module = excluded.module, queue = excluded.queue, sequential = excluded.sequential
  , max_attempts = excluded.max_attempts, place = excluded.place
