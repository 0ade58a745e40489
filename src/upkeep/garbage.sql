-- Of every job table of the schema $1 text (unquoted): rows that vacuum has still to clean up, how many of those PostgreSQL
-- waits for before it begins, whether it would, when it last has, in seconds of the epoch (0 for never), and its age.
SELECT t.relname AS name, s.n_live_tup AS live, s.n_dead_tup AS dead
  , COALESCE((SELECT option_value::float8 FROM pg_options_to_table(t.reloptions) WHERE option_name = 'autovacuum_vacuum_threshold')
      , current_setting('autovacuum_vacuum_threshold')::float8)
    + COALESCE((SELECT option_value::float8 FROM pg_options_to_table(t.reloptions) WHERE option_name = 'autovacuum_vacuum_scale_factor')
      , current_setting('autovacuum_vacuum_scale_factor')::float8) * s.n_live_tup AS budget
  , COALESCE((SELECT option_value::bool FROM pg_options_to_table(t.reloptions) WHERE option_name = 'autovacuum_enabled'), true) AS enabled
  , COALESCE(extract(epoch FROM GREATEST(s.last_autovacuum, s.last_vacuum))::float8, 0) AS vacuumed
  , extract(epoch FROM clock_timestamp() - GREATEST(s.last_autovacuum, s.last_vacuum))::int AS age
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_stat_user_tables s ON s.relid = t.oid
WHERE n.nspname = $1::text AND t.relkind = 'r'
  AND (t.relname IN ('job', 'job_common') OR t.relname IN (SELECT q.table_name FROM {schema}.queue q))
ORDER BY t.relname
