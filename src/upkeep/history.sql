-- Adds the counts of the queues $1 text[], as just written, to the history. Runs under the advisory lock
-- `queue-stats-insert`; wants a partition for today, where the table has partitions.
INSERT INTO {schema}.queue_stats (name, deferred_count, queued_count, ready_count, active_count, failed_count, total_count
  , created_delta, completed_delta, failed_delta, delta_seconds, delta_on      --? throughput
  , wait_bins, run_bins, ready_oldest_seconds                                  --? latency
  , captured_on)
SELECT q.name, q.deferred_count, q.queued_count, q.ready_count, q.active_count, q.failed_count, q.total_count
  , q.created_delta, q.completed_delta, q.failed_delta, q.delta_seconds, q.delta_on --? throughput
  , q.wait_bins, q.run_bins, q.ready_oldest_seconds                            --? latency
  , {now}
FROM {schema}.queue q
WHERE q.name = ANY($1::text[])
