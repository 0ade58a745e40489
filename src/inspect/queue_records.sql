-- The rows of the queues $1 text[], or of all of them if it is NULL, with the counts of the last monitor pass, by name.
-- Takes no lock.
SELECT q.name, q.policy, q.retry_limit, q.retry_delay, q.retry_backoff, q.expire_seconds, q.dead_letter
  , q.created_on, q.updated_on
  , q.partition_name AS table_name, true AS partition, q.retention_minutes * 60 AS retention_seconds --? v10
  , NULL::int AS retry_delay_max, NULL::int AS deletion_seconds, NULL::int AS warning_queued --? v10
  , 0 AS deferred_count, 0 AS queued_count, 0 AS active_count, 0 AS total_count --? v10
  , NULL::text[] AS singletons_active                                          --? v10
  , q.table_name, q.partition, q.retention_seconds, q.retry_delay_max, q.deletion_seconds, q.warning_queued --? !v10
  , q.deferred_count, q.queued_count, q.active_count, q.total_count, q.singletons_active --? !v10
  , q.heartbeat_seconds                                                        --? heartbeat
  , NULL::int AS heartbeat_seconds                                             --? !heartbeat
  , q.notify, q.ready_count, q.failed_count                                    --? notify
  , false AS notify, NULL::int AS ready_count, NULL::int AS failed_count       --? !notify
  , q.created_delta, q.completed_delta, q.failed_delta, q.delta_seconds, q.delta_on --? source_output
  , q.blocked_count, q.wait_bins, q.run_bins, q.ready_oldest_seconds           --? trace_context
FROM {schema}.queue q
WHERE $1::text[] IS NULL OR q.name = ANY ($1)
ORDER BY q.name
