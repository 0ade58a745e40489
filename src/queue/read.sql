-- The rows of the queues $1 text[], or of all of them if it is NULL, ordered by name.
SELECT q.name, q.policy, q.dead_letter, q.retry_limit, q.retry_delay, q.retry_backoff, q.expire_seconds
  , q.partition_name AS table_name                                             --? v10
  , q.table_name                                                               --? !v10
  , q.notify                                                                   --? notify
  , false AS notify                                                            --? !notify
  , q.heartbeat_seconds                                                        --? heartbeat
  , NULL::int AS heartbeat_seconds                                             --? !heartbeat
  , true AS partition, q.retention_minutes * 60 AS retention_seconds           --? v10
  , NULL::int AS retry_delay_max, NULL::int AS deletion_seconds, NULL::int AS warning_queued --? v10
  , q.partition, q.retention_seconds                                           --? !v10
  , q.retry_delay_max, q.deletion_seconds, q.warning_queued                    --? !v10
FROM {schema}.queue q
WHERE $1::text[] IS NULL OR q.name = ANY($1)
ORDER BY q.name
