-- Rows of the outbox, newest first. $1 uuid[] ids or NULL, $2 text status or NULL, $3 text event or NULL, $4 float8 seconds since it
-- was emitted at least, or NULL, $5 int at most. Takes no locks; indexes (created_at), (status, created_at).
SELECT o.id, o.event_name::text, o.status::text, o.retry_count, o.max_retries, o.created_at, o.processed_at, o.error_message
  , to_jsonb(o)::text AS row
FROM {events}.event_outbox o
WHERE ($1::uuid[] IS NULL OR o.id = ANY($1::uuid[]))
  AND ($2::text IS NULL OR o.status = $2::text)
  AND ($3::text IS NULL OR o.event_name = $3::text)
  AND ($4::float8 IS NULL OR o.created_at <= now() - $4::float8 * interval '1s')
ORDER BY o.created_at DESC, o.id
LIMIT $5::int
