-- The dead letters of events, newest first. $1 uuid[] ids or NULL, $2 text event or NULL, $3 text handler or NULL, $4 float8 seconds
-- since it failed at least, or NULL, $5 int at most. Takes no locks; indexes (failed_at), (event_name).
SELECT x.id, x.original_event_id, x.event_name::text, x.failure_reason, x.retry_count, x.failed_at
  , x.metadata -> 'deadLetter' ->> 'handler' AS handler, x.metadata -> 'deadLetter' ->> 'queue' AS queue
  , to_jsonb(x)::text AS row
FROM {events}.event_dead_letter x
WHERE ($1::uuid[] IS NULL OR x.id = ANY($1::uuid[]))
  AND ($2::text IS NULL OR x.event_name = $2::text)
  AND ($3::text IS NULL OR x.metadata -> 'deadLetter' ->> 'handler' = $3::text)
  AND ($4::float8 IS NULL OR x.failed_at <= now() - $4::float8 * interval '1s')
ORDER BY x.failed_at DESC, x.id
LIMIT $5::int
