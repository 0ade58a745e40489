-- The partitions of the history whose day is more than $2 int days past. $1 text schema, unquoted.
SELECT c.relname AS name
FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent
JOIN pg_namespace s ON s.oid = p.relnamespace
JOIN pg_class c ON c.oid = i.inhrelid AND c.relnamespace = p.relnamespace
WHERE s.nspname = $1::text AND p.relname = 'queue_stats' AND c.relname ~ '^queue_stats_[0-9]{8}$'
  AND to_date(right(c.relname, 8), 'YYYYMMDD') < ({now} AT TIME ZONE 'UTC')::date - $2::int
ORDER BY c.relname
