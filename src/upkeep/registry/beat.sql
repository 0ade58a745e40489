-- Registers an instance, or says that it is still there; returns when it began, and the database's time.
-- $1 uuid id, $2 text name, $3 text host, $4 int pid, $5 text version, $6 text node_version, $7 int heartbeat_seconds,
-- $8 bool supervise, $9 bool schedule, $10 bool persist_queue_stats, $11 bool persist_warnings, $12 int[] pool: max,
-- total, idle, waiting; $13 text workers, $14 text metrics, $15 text config, each JSON; $16 timestamptz when it began, null
-- the first time. A row that was pruned while its process slept comes back. Locks that row. Schema 44 and later.
INSERT INTO {schema}.instance (
  id, name, host, pid, version, node_version, heartbeat_seconds, supervise, schedule, migrate, persist_queue_stats,
  persist_warnings, pool_max, pool_total, pool_idle, pool_waiting, workers, metrics, config, application_name,
  started_on, heartbeat_on
)
VALUES (
  $1::uuid, $2::text, $3::text, $4::int, $5::text, $6::text, $7::int, $8::bool, $9::bool, false, $10::bool,
  $11::bool, ($12::int[])[1], ($12::int[])[2], ($12::int[])[3], ($12::int[])[4], $13::text::jsonb, $14::text::jsonb,
  $15::text::jsonb, current_setting('application_name'),
  COALESCE($16::timestamptz, {now}), {now}
)
ON CONFLICT (id) DO UPDATE SET
  pool_max = EXCLUDED.pool_max, pool_total = EXCLUDED.pool_total, pool_idle = EXCLUDED.pool_idle,
  pool_waiting = EXCLUDED.pool_waiting, workers = EXCLUDED.workers, metrics = EXCLUDED.metrics,
  heartbeat_on = EXCLUDED.heartbeat_on
RETURNING started_on, heartbeat_on AS now
