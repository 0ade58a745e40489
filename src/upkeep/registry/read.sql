-- The instances of the schema in the order in which they began: $1 bigint how many at most, $2 uuid the last of the page
-- before, or null. Schema 44 and later.
SELECT i.id, i.name, i.host, i.pid, i.version, i.node_version, i.application_name, i.heartbeat_seconds, i.supervise
  , i.schedule, i.migrate, i.persist_queue_stats, i.persist_warnings, i.pool_max, i.pool_total, i.pool_idle
  , i.pool_waiting, i.workers::text, i.metrics::text, i.config::text, i.crash_restarts, i.crash_restarts_since
  , i.started_on, i.heartbeat_on, i.stopped_on
  , i.stopped_on IS NULL AND i.heartbeat_on >= {now} - 3 * i.heartbeat_seconds * interval '1 second' AS live
FROM {schema}.instance i
WHERE $2::uuid IS NULL
   OR (i.started_on, i.id) > ((SELECT p.started_on FROM {schema}.instance p WHERE p.id = $2::uuid), $2::uuid)
ORDER BY i.started_on, i.id
LIMIT $1::bigint
