-- Changes the row of queue $1 text by what the object $2 text (JSON) names; returns no row if the queue does not exist.
-- Locks the row, without keeping jobs from entering.
UPDATE {schema}.queue q
SET retry_limit = COALESCE((o.data ->> 'retryLimit')::int, q.retry_limit)
  , retry_delay = COALESCE((o.data ->> 'retryDelay')::int, q.retry_delay)
  , retry_backoff = COALESCE((o.data ->> 'retryBackoff')::bool, q.retry_backoff)
  , expire_seconds = COALESCE((o.data ->> 'expireInSeconds')::int, q.expire_seconds)
  , retention_minutes = COALESCE((o.data ->> 'retentionSeconds')::int / 60, q.retention_minutes) --? v10
  , retention_seconds = COALESCE((o.data ->> 'retentionSeconds')::int, q.retention_seconds) --? !v10
  , retry_delay_max = CASE WHEN o.data ? 'retryDelayMax' THEN (o.data ->> 'retryDelayMax')::int ELSE q.retry_delay_max END --? !v10
  , deletion_seconds = COALESCE((o.data ->> 'deleteAfterSeconds')::int, q.deletion_seconds) --? !v10
  , warning_queued = COALESCE((o.data ->> 'warningQueueSize')::int, q.warning_queued) --? !v10
  , heartbeat_seconds = CASE WHEN o.data ? 'heartbeatSeconds' THEN (o.data ->> 'heartbeatSeconds')::int ELSE q.heartbeat_seconds END --? heartbeat
  , notify = COALESCE((o.data ->> 'notify')::bool, q.notify)                   --? notify
  , dead_letter = CASE WHEN o.data ? 'deadLetter' THEN o.data ->> 'deadLetter' ELSE q.dead_letter END
  , updated_on = {now}
FROM (SELECT $2::text::jsonb AS data) o
WHERE q.name = $1
RETURNING 1
