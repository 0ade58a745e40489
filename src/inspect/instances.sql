-- The instances that have registered themselves (schema 44 and later), oldest first, each as the JSON of pg-boss's own
-- `getInstances`. $1 bigint the most of them. Takes no locks; the table has a row per process.
SELECT json_build_object(
    'id', i.id, 'name', i.name, 'host', i.host, 'pid', i.pid, 'version', i.version, 'nodeVersion', i.node_version,
    'applicationName', i.application_name, 'heartbeatSeconds', i.heartbeat_seconds, 'supervise', i.supervise,
    'schedule', i.schedule, 'migrate', i.migrate, 'persistQueueStats', i.persist_queue_stats,
    'persistWarnings', i.persist_warnings, 'poolMax', i.pool_max, 'poolTotal', i.pool_total, 'poolIdle', i.pool_idle,
    'poolWaiting', i.pool_waiting, 'workers', i.workers, 'metrics', i.metrics, 'config', i.config,
    'crashRestarts', i.crash_restarts,
    'crashRestartsSince', to_char(i.crash_restarts_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'startedOn', to_char(i.started_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'heartbeatOn', to_char(i.heartbeat_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'stoppedOn', to_char(i.stopped_on AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'live', i.stopped_on IS NULL AND i.heartbeat_on >= {now} - i.heartbeat_seconds * 3 * interval '1 second'
)::text AS instance
FROM {schema}.instance i
ORDER BY i.started_on, i.id
LIMIT $1::bigint
