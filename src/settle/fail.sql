-- Fails attempts as pg-boss does: the row is deleted and inserted again, as `retry` while it has retries left and as
-- `failed` otherwise, or where a policy's unique index has no room for it; a failed job leaves a copy in its dead letter queue.
-- The whole row is carried along as one value, so that columns unknown to us keep what they hold. A job that fails with
-- retries left, or beyond its limit, is given a `start_after` all the same: that is what pg-boss does. Version 10 counts
-- the retention of a dead letter from there and never fails a job for good ahead of time, so there it stays.
-- Returns (name, id, state, dead_lettered, reason) of the rows written.
-- Settling (flag `settle`), arrays of one length: $1 text[] queue, $2 uuid[] id, $3 int[] retry_count, $4 text[] output
-- as JSON text or NULL, $5 bool[] fail for good, $6 float8[] no sooner than these seconds from now, $7 float8[] exactly
-- these seconds from now, $8 bool[] whether the heartbeat was lent by the claim, $9 text[] ctid. With the flag `by_ctid`
-- only rows that are still there, else by the primary key; CASE and sub-selects as in complete.sql.
-- Sweeping (flag `sweep`): $1 text[] queues, $2 text schema, $3 text table; takes at most 1000 rows whose deadline or lease is over, under
-- pg-boss's own advisory locks, and does nothing while another holds them. Wants i14 (schema 46), else the primary key.
-- By hand (flag `by_hand`), where a person and not a worker decides: $1 text queue, $2 uuid[] ids, $3 int[] the attempts
-- beside them or NULL, $4 text output as JSON or NULL; without attempts queued jobs are failed, too, and nothing is fenced.
WITH verdict AS MATERIALIZED (
  SELECT v.*, NULL::text AS reason                                             --? +settle
  FROM unnest((SELECT $1::text[]), (SELECT $2::uuid[]), (SELECT $3::int[]), (SELECT $4::text[]), --? +settle
    (SELECT $5::bool[]), (SELECT $6::float8[]), (SELECT $7::float8[]), (SELECT $8::bool[]), --? +settle
    (SELECT $9::text[]::tid[])) AS v(name, id, retry_count, output, terminal, not_before, after, lent, place) --? +settle
  SELECT $1::text AS name, v.id, v.retry_count, $4::text AS output, false AS terminal, NULL::float8 AS not_before --? +by_hand
    , NULL::float8 AS after, false AS lent, NULL::text AS reason               --? +by_hand
  FROM (SELECT DISTINCT u.id, u.retry_count FROM unnest($2::uuid[], $3::int[]) AS u(id, retry_count)) v --? +by_hand
  SELECT e.name, e.id, e.retry_count                                           --? +sweep
    , CASE WHEN e.overdue THEN '{"value":{"message":"job failed by timeout in active state"}}' --? +sweep v10
    , CASE WHEN e.overdue THEN '{"value":{"message":"job timed out"}}'         --? +sweep !v10
      ELSE '{"value":{"message":"job heartbeat timeout"}}' END AS output       --? +sweep
    , false AS terminal, NULL::float8 AS not_before, NULL::float8 AS after, false AS lent --? +sweep
    , CASE WHEN e.overdue THEN 'expired' ELSE 'heartbeat' END AS reason        --? +sweep
  FROM (                                                                       --? +sweep
    SELECT j.name, j.id, j.retry_count                                         --? +sweep
      , j.started_on + j.expire_in < {now} AS overdue                          --? +sweep v10
      , j.started_on + j.expire_seconds * interval '1s' < {now} AS overdue     --? +sweep !v10
    FROM {table} j                                                             --? +sweep
    WHERE j.name = ANY($1::text[]) AND j.state = 'active'                      --? +sweep
      AND (j.started_on + j.expire_in < {now}                                  --? +sweep v10
      AND (j.started_on + j.expire_seconds * interval '1s' < {now}             --? +sweep !v10
        OR j.heartbeat_on + j.heartbeat_seconds * interval '1s' < {now}        --? +sweep heartbeat
      )                                                                        --? +sweep
      AND (SELECT bool_and(pg_try_advisory_xact_lock(('x' || encode(sha224(    --? +sweep
          (current_database() || '.pgboss.' || $2::text || k.key)::bytea), 'hex'))::bit(64)::bigint)) --? +sweep
        FROM (VALUES ('')) AS k(key))                                          --? +sweep v10
        FROM (VALUES ($3::text || 'failJobsByTimeout'), ($3::text || 'failJobsByHeartbeat')) AS k(key)) --? +sweep !v10
    LIMIT 1000                                                                 --? +sweep
    FOR UPDATE OF j SKIP LOCKED                                                --? +sweep
  ) e                                                                          --? +sweep
),
gone AS (
  DELETE FROM {table} j USING verdict v
  WHERE j.ctid = v.place AND j.id = v.id AND (j.name = v.name) IS TRUE         --? +by_ctid
  WHERE j.name = v.name AND j.id = v.id                                        --? !+by_ctid
    AND CASE WHEN j.state = 'active' THEN j.retry_count = v.retry_count END    --? !+by_hand
    AND j.state < 'completed'                                                  --? +by_hand
    AND (v.retry_count IS NULL OR CASE WHEN j.state = 'active' THEN j.retry_count = v.retry_count END) --? +by_hand
  RETURNING j AS job, v.output::jsonb AS output, v.not_before, v.after, v.lent, v.terminal
    , j.retry_count < j.retry_limit AND NOT v.terminal AS again
    , CASE
        WHEN NOT j.retry_backoff THEN j.retry_delay
        ELSE j.retry_delay * 2 ^ LEAST(16, j.retry_count + 1) / 2 * (1 + random())                          --? v10
        ELSE LEAST(j.retry_delay_max, j.retry_delay + 2 ^ LEAST(16, j.retry_count + 1) / 2 * (1 + random())) --? backoff_adds
        ELSE LEAST(j.retry_delay_max, j.retry_delay * 2 ^ LEAST(16, j.retry_count + 1) / 2 * (1 + random())) --? !v10 !backoff_adds !backoff_floor
        ELSE LEAST(j.retry_delay_max, GREATEST(j.retry_delay, 1) * 2 ^ LEAST(16, j.retry_count + 1) / 2 * (1 + random())) --? backoff_floor
      END::float8 AS delay
),
settled AS (
  INSERT INTO {table} AS t
  SELECT (n.job).* FROM (
    SELECT jsonb_populate_record(g.job, jsonb_build_object(
        'state', CASE WHEN g.again THEN 'retry' ELSE 'failed' END,
        'completed_on', CASE WHEN NOT g.again THEN {now} END,
        'start_after', CASE
          WHEN (g.job).retry_count = (g.job).retry_limit THEN (g.job).start_after
          WHEN g.terminal THEN (g.job).start_after                             --? v10
          ELSE {now} + GREATEST(COALESCE(g.after, g.delay), g.not_before) * interval '1s'
        END,
        'heartbeat_on', NULL,                                                  --? heartbeat
        'heartbeat_seconds', CASE WHEN NOT g.lent THEN (g.job).heartbeat_seconds END, --? heartbeat
        'upsert_by_key', NULL,                                                 --? upsert_by_key
        'output', g.output)) AS job
    FROM gone g OFFSET 0) n
  ON CONFLICT DO NOTHING
  RETURNING t AS job
),
refused AS (
  INSERT INTO {table} AS t
  SELECT (n.job).* FROM (
    SELECT jsonb_populate_record(g.job, jsonb_build_object(
        'state', 'failed',
        'completed_on', {now},
        'heartbeat_on', NULL,                                                  --? heartbeat
        'heartbeat_seconds', CASE WHEN NOT g.lent THEN (g.job).heartbeat_seconds END, --? heartbeat
        'upsert_by_key', NULL,                                                 --? upsert_by_key
        'output', g.output)) AS job
    FROM gone g
    WHERE NOT EXISTS (SELECT 1 FROM settled s WHERE (s.job).id = (g.job).id AND (s.job).name = (g.job).name)
    OFFSET 0) n
  RETURNING t AS job
),
result AS (
  SELECT job FROM settled UNION ALL SELECT job FROM refused
),
dead AS (
  INSERT INTO {job} (name, data, retry_limit, keep_until
    , output                                                                   --? !source_output
    , retry_delay, retry_backoff, deletion_seconds, start_after, created_on    --? !v10
    , expire_seconds, singleton_key, heartbeat_seconds                         --? dead_letter_key
    , priority, group_id, group_tier                                           --? dead_letter_group
    , source_name, source_id, source_created_on, source_retry_count            --? lineage
    , source_output, source_root_id                                            --? source_output
    , trace_context                                                            --? trace_context
  )
  SELECT (r.job).dead_letter, (r.job).data
    , (r.job).retry_limit, (r.job).keep_until + ((r.job).keep_until - (r.job).start_after) --? v10
    , q.retry_limit, {now} + q.retention_seconds * interval '1s'               --? !v10
    , (r.job).output                                                           --? !source_output
    , q.retry_delay, q.retry_backoff, q.deletion_seconds, {now}, {now}         --? !v10
    , q.expire_seconds, (r.job).singleton_key                                  --? dead_letter_key
    , (r.job).heartbeat_seconds                                                --? dead_letter_key !dead_letter_group
    , q.heartbeat_seconds                                                      --? dead_letter_group
    , (r.job).priority, (r.job).group_id, (r.job).group_tier                   --? dead_letter_group
    , (r.job).name, (r.job).id, (r.job).created_on, (r.job).retry_count        --? lineage
    , (r.job).output, COALESCE((r.job).source_root_id, (r.job).id)             --? source_output
    , (r.job).trace_context                                                    --? trace_context
  FROM result r
  JOIN {schema}.queue q ON q.name = (r.job).dead_letter                        --? !v10
  WHERE (r.job).state = 'failed' AND (r.job).dead_letter IS NOT NULL
    AND (r.job).name <> (r.job).dead_letter                                    --? v10
)
SELECT (r.job).name, (r.job).id, (r.job).state::text AS state
  , (r.job).state = 'failed' AND (r.job).dead_letter IS NOT NULL
    AND (r.job).name <> (r.job).dead_letter                                    --? v10
    AS dead_lettered
  , v.reason
FROM result r
JOIN verdict v ON v.name = (r.job).name AND v.id = (r.job).id
