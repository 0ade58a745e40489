-- The days of the history that have to be there and are not, today's and tomorrow's by UTC, as (name, first moment, first
-- moment of the next); none where the table has no partitions. $1 text schema, unquoted.
SELECT 'queue_stats_' || to_char(d.day, 'YYYYMMDD') AS name, to_char(d.day, 'YYYY-MM-DD') || ' 00:00:00+00' AS begins
  , to_char(d.day + 1, 'YYYY-MM-DD') || ' 00:00:00+00' AS ends
FROM (SELECT ({now} AT TIME ZONE 'UTC')::date + n AS day FROM generate_series(0, 1) n) d
WHERE EXISTS (SELECT FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace
    WHERE s.nspname = $1::text AND t.relname = 'queue_stats' AND t.relkind = 'p')
  AND NOT EXISTS (SELECT FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace
    WHERE s.nspname = $1::text AND t.relname = 'queue_stats_' || to_char(d.day, 'YYYYMMDD'))
