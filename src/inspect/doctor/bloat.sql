-- The job tables of the schema $1 (text, unquoted): live and dead rows as the statistics collector counts them, and whether
-- autovacuum may look at them. Reads the system's views only.
SELECT c.relname::text AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
       EXTRACT(epoch FROM clock_timestamp() - GREATEST(s.last_vacuum, s.last_autovacuum))::float8 AS vacuumed,
       current_setting('autovacuum') = 'off'
         OR COALESCE('autovacuum_enabled=false' = ANY (c.reloptions) OR 'autovacuum_enabled=off' = ANY (c.reloptions), false) AS unwatched
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_stat_user_tables s ON s.relid = c.oid
WHERE n.nspname = $1 AND c.relkind = 'r' AND (c.relname = 'job' OR c.oid IN (
  SELECT i.inhrelid FROM pg_catalog.pg_inherits i
  JOIN pg_catalog.pg_class parent ON parent.oid = i.inhparent
  WHERE parent.relname = 'job' AND parent.relnamespace = n.oid))
ORDER BY c.relname
