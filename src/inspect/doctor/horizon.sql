-- What keeps vacuum from removing dead rows of this database: transactions that have been open for more than $1 seconds
-- (float8), prepared ones, and replication slots that hold back more than a million transactions. No statement texts, for
-- they may hold what is nobody's business. Reads the system's views only; of other roles' sessions no more than that they
-- are there.
SELECT 'session' AS kind, a.pid::text AS name, a.application_name || ' (' || COALESCE(a.usename::text, '?') || ', ' || COALESCE(a.state, '?') || ')' AS what,
       EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds, age(a.backend_xmin)::bigint AS held
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
  AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.xact_start < clock_timestamp() - $1 * interval '1s'
UNION ALL
SELECT 'prepared', p.gid, p.owner::text, EXTRACT(epoch FROM clock_timestamp() - p.prepared)::float8, age(p.transaction)::bigint
FROM pg_catalog.pg_prepared_xacts p
WHERE p.database = current_database() AND p.prepared < clock_timestamp() - $1 * interval '1s'
UNION ALL
SELECT 'slot', s.slot_name::text, s.slot_type || CASE WHEN s.active THEN '' ELSE ', nobody reads it' END, NULL, age(s.xmin)::bigint
FROM pg_catalog.pg_replication_slots s
WHERE age(s.xmin) > 1000000
