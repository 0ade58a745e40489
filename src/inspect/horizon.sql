-- What slows the queues of this database down: how many transactions ago the oldest row version lies that vacuum has to
-- keep, how old the oldest transaction is that keeps one, and how many sessions wait for a lock. Reads the system's views
-- only; of other roles' sessions it sees the ages where the role has pg_read_all_stats.
SELECT COALESCE(max(h.held), 0)::bigint AS held
  , COALESCE(max(h.seconds), 0)::float8 AS seconds
  , (SELECT count(DISTINCT l.pid) FROM pg_catalog.pg_locks l
     WHERE NOT l.granted AND (l.database IS NULL OR l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))) AS waits
FROM (
  SELECT age(a.backend_xmin)::bigint AS held, EXTRACT(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
  FROM pg_catalog.pg_stat_activity a
  WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
    AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
  UNION ALL
  SELECT age(p.transaction)::bigint, EXTRACT(epoch FROM clock_timestamp() - p.prepared)::float8
  FROM pg_catalog.pg_prepared_xacts p WHERE p.database = current_database()
  UNION ALL
  SELECT age(s.xmin)::bigint, NULL FROM pg_catalog.pg_replication_slots s WHERE s.xmin IS NOT NULL
) h
