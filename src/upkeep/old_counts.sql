-- Deletes what the history holds that is older than $1 int days, at most 10,000 rows; for installs without partitions.
DELETE FROM {schema}.queue_stats s WHERE s.id IN (
  SELECT o.id FROM {schema}.queue_stats o WHERE o.captured_on < {now} - $1::int * interval '1 day' LIMIT 10000
)
RETURNING s.id
