-- Edits jobs of queue $1 text that no worker holds, and returns their ids: the one with id $2 uuid (flag `id`), or those with
-- singleton key $3 text (`key`): the `newest`, the `oldest`, or all. $4 text the payload as JSON (NULL: as it is), $5 text an
-- object with the other options, of which those change that it names, $6 text the start as a timestamp or $7 text as an
-- interval from now (both NULL: as it is), $8 text the channel of the schema. Where only the start moves, how long the job may wait moves along.
-- Locks the rows, and looks at their state once more when it has them: a worker may have been quicker. By the primary key,
-- or by i13 or i17 for a key.
WITH o AS MATERIALIZED (
  SELECT $5::text::jsonb AS data
    , CASE WHEN $6::text IS NOT NULL THEN $6::text::timestamptz WHEN $7::text IS NOT NULL THEN {now} + $7::text::interval END AS start_after
),
target AS MATERIALIZED (
  SELECT j.id FROM {job} j
  WHERE j.name = $1 AND j.state < 'active'
    AND j.id = $2                                                              --? +id
    AND j.singleton_key = $3                                                   --? +key
  ORDER BY j.created_on DESC LIMIT 1                                           --? +newest
  ORDER BY j.created_on LIMIT 1                                                --? +oldest
),
edited AS (
  UPDATE {job} j
  SET data = COALESCE($4::text::jsonb, j.data)
    , priority = COALESCE((o.data ->> 'priority')::int, j.priority)
    , start_after = COALESCE(o.start_after, j.start_after)
    , keep_until = CASE
        WHEN o.data ? 'retentionSeconds'
          THEN COALESCE(o.start_after, j.start_after) + (o.data ->> 'retentionSeconds')::int * interval '1s'
        WHEN o.start_after IS NOT NULL THEN o.start_after + (j.keep_until - j.start_after)
        ELSE j.keep_until
      END
    , expire_seconds = COALESCE((o.data ->> 'expireInSeconds')::int, j.expire_seconds)
    , deletion_seconds = COALESCE((o.data ->> 'deleteAfterSeconds')::int, j.deletion_seconds)
    , retry_limit = COALESCE((o.data ->> 'retryLimit')::int, j.retry_limit)
    , retry_delay = COALESCE((o.data ->> 'retryDelay')::int, j.retry_delay)
    , retry_backoff = COALESCE((o.data ->> 'retryBackoff')::bool, j.retry_backoff)
    , retry_delay_max = CASE WHEN o.data ? 'retryDelayMax' THEN (o.data ->> 'retryDelayMax')::int ELSE j.retry_delay_max END
    , dead_letter = CASE WHEN o.data ? 'deadLetter' THEN o.data ->> 'deadLetter' ELSE j.dead_letter END
    , heartbeat_seconds = CASE WHEN o.data ? 'heartbeatSeconds' THEN (o.data ->> 'heartbeatSeconds')::int ELSE j.heartbeat_seconds END
    , group_id = COALESCE(o.data ->> 'groupId', j.group_id)
    , group_tier = COALESCE(o.data ->> 'groupTier', j.group_tier)
  FROM o
  WHERE j.name = $1 AND j.id IN (SELECT id FROM target) AND j.state < 'active'
  RETURNING j.id, j.start_after
),
woken AS MATERIALIZED (
  SELECT pg_notify($8, q.name) FROM {schema}.queue q
  WHERE q.name = $1 AND q.notify AND EXISTS (SELECT FROM edited WHERE start_after <= {now})
)
SELECT edited.id, (SELECT count(*) FROM woken) AS woken FROM edited
