-- Takes what a walk over the queue $1 text deleted before it was cut short off its counts: $2 int of those `retained_count`
-- held, $3 int in all. Schema 46.
UPDATE {schema}.queue q SET total_count = GREATEST(q.total_count - $3::int, 0)
  , retained_count = CASE WHEN q.retained_count IS NOT NULL THEN GREATEST(q.retained_count - $2::int, 0) END
WHERE q.name = $1::text
