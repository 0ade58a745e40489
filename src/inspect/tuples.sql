-- The twenty tables of the schema $1 (text, unquoted) with the most dead rows, as the statistics collector counts them.
-- Reads the system's views only.
SELECT s.relname::text AS name, s.n_live_tup AS live, s.n_dead_tup AS dead
FROM pg_catalog.pg_stat_user_tables s
WHERE s.schemaname = $1
ORDER BY s.n_dead_tup DESC, s.n_live_tup DESC, s.relname
LIMIT 20
