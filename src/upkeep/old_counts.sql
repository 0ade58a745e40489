-- Deletes what the history holds that is older than $2 int days, at most 10,000 rows; only where the table has no partitions,
-- which are dropped as a whole instead. $1 text schema, unquoted. Returns a row for each.
DELETE FROM {schema}.queue_stats s WHERE s.id IN (
  SELECT o.id FROM {schema}.queue_stats o
  WHERE o.captured_on < {now} - $2::int * interval '1 day'
    AND EXISTS (SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
      WHERE n.nspname = $1::text AND t.relname = 'queue_stats' AND t.relkind = 'r')
  LIMIT 10000
)
RETURNING s.id
