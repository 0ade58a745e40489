-- Writes what a walk over the whole queue $1 text has found: $2 int finished jobs that ended by $3 timestamptz and stay.
-- Those that ended since are counted with the next look. Schema 46.
UPDATE {schema}.queue q SET retained_count = $2::int, retained_on = $3::timestamptz
  , total_count = q.queued_count + q.active_count + q.failed_count + $2::int
    + (SELECT count(*)::int FROM {table} j WHERE j.name = $1::text AND j.completed_on > $3::timestamptz
        AND j.completed_on <= {now} AND j.state IN ('completed', 'cancelled'))
WHERE q.name = $1::text
