-- Who keeps vacuum from cleaning up, oldest first: (source, age in transactions, name, pid, role, state, seconds). Backends
-- only where their transaction is older than a vacuum at $1 float8 seconds of the epoch, or where it cannot be told.
SELECT h.* FROM (
  SELECT 'backends' AS source, age(a.backend_xmin) AS age, a.application_name AS name, a.pid, a.usename::text AS role, a.state
    , extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds
  FROM pg_stat_activity a
  WHERE a.backend_xmin IS NOT NULL AND a.pid <> pg_backend_pid()
    AND (a.xact_start IS NULL OR a.xact_start < to_timestamp($1::float8))
  UNION ALL
  SELECT 'slots', age(s.xmin), s.slot_name::text, s.active_pid, NULL, NULL, NULL FROM pg_replication_slots s WHERE s.xmin IS NOT NULL
  UNION ALL
  SELECT 'slotsCatalog', age(s.catalog_xmin), s.slot_name::text, s.active_pid, NULL, NULL, NULL
  FROM pg_replication_slots s WHERE s.catalog_xmin IS NOT NULL
  UNION ALL
  SELECT 'standbys', age(r.backend_xmin), r.application_name, r.pid, r.usename::text, NULL, NULL
  FROM pg_stat_replication r WHERE r.backend_xmin IS NOT NULL
  UNION ALL
  SELECT 'prepared', age(p.transaction), p.gid, NULL, p.owner::text, NULL, extract(epoch FROM clock_timestamp() - p.prepared)::int
  FROM pg_prepared_xacts p
) h
ORDER BY h.age DESC
LIMIT 1
