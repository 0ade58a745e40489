-- Moves up to $7 bigint dead letters of queue $1 text, the oldest first, to where they came from, and returns how many. Only
-- those that nobody has fetched, whose destination exists, and that a held key of key_strict_fifo does not keep waiting. $2 text destination instead of the
-- source, $3 text only from this source, $4 text only with data that contains this JSON, $5 timestamptz only arrived before,
-- $6 uuid[] only these; NULL: any. Each is deleted and made anew; one that the destination's policy has no room for is failed
-- where it is, of several with one key under key_strict_fifo only the oldest. Locks the rows it takes and skips locked ones.
-- Every new job has its id beforehand, since one part of a statement does not see what another wrote.
WITH candidate AS MATERIALIZED (
  SELECT j.*, gen_random_uuid() AS new_id, q.name AS destination
  FROM {table} j
  JOIN {schema}.queue q ON q.name = COALESCE($2, j.source_name)
  WHERE j.name = $1 AND j.state < 'active'
    AND NOT EXISTS (                                                           --? strict_fifo
      SELECT FROM {table} k                                                    --? strict_fifo
      WHERE j.policy = 'key_strict_fifo' AND k.policy = 'key_strict_fifo'      --? strict_fifo
        AND k.name = j.name AND k.singleton_key = j.singleton_key              --? strict_fifo
        AND k.state IN ('active', 'retry', 'failed')                           --? strict_fifo
    )                                                                          --? strict_fifo
    AND ($3::text IS NULL OR j.source_name = $3)
    AND ($4::text IS NULL OR j.data @> $4::text::jsonb)
    AND ($5::timestamptz IS NULL OR j.created_on < $5)
    AND ($6::uuid[] IS NULL OR j.id = ANY ($6))
  ORDER BY j.created_on
  LIMIT $7
  FOR UPDATE OF j SKIP LOCKED
),
entered AS (
  INSERT INTO {job} (id, name, data, priority, retry_limit, retry_backoff, retry_delay, retry_delay_max, expire_seconds
    , start_after, created_on, keep_until, deletion_seconds, policy
    , singleton_key, heartbeat_seconds                                         --? dead_letter_key
    , group_id, group_tier, dead_letter                                        --? dead_letter_group
    , source_root_id                                                           --? source_output
    , trace_context                                                            --? trace_context
  )
  SELECT c.new_id, c.destination, c.data, c.priority, q.retry_limit, q.retry_backoff, q.retry_delay, q.retry_delay_max
    , q.expire_seconds, {now}, {now}, {now} + q.retention_seconds * interval '1s', q.deletion_seconds, q.policy
    , c.singleton_key                                                          --? dead_letter_key
    , c.heartbeat_seconds                                                      --? dead_letter_key !dead_letter_group
    , q.heartbeat_seconds, c.group_id, c.group_tier, q.dead_letter             --? dead_letter_group
    , COALESCE(c.source_root_id, c.source_id)                                  --? source_output
    , c.trace_context                                                          --? trace_context
  FROM candidate c
  JOIN {schema}.queue q ON q.name = c.destination
  ORDER BY c.created_on
  ON CONFLICT DO NOTHING
  RETURNING id
),
gone AS (
  DELETE FROM {table} j USING candidate c, entered e
  WHERE e.id = c.new_id AND j.name = $1 AND j.id = c.id
),
refused AS (
  UPDATE {table} j
  SET state = 'failed', completed_on = {now}
    , source_output = COALESCE(j.source_output, j.output)                      --? source_output
    , output = jsonb_build_object(                                             --? source_output
        'message', 'Not redriven: queue ' || q.name || CASE                    --? source_output
          WHEN j.singleton_key IS NULL THEN ' already has a job this one conflicts with' --? source_output
          ELSE ' already has a job with singletonKey ' || j.singleton_key      --? source_output
        END || ' under its ' || COALESCE(q.policy, 'standard') || ' policy',   --? source_output
        'reason', 'redrive_conflict', 'destination', q.name, 'policy', q.policy, 'singletonKey', j.singleton_key) --? source_output
  FROM candidate c
  JOIN {schema}.queue q ON q.name = c.destination
  WHERE j.name = $1 AND j.id = c.id
    AND NOT EXISTS (SELECT FROM entered e WHERE e.id = c.new_id)
    AND (j.policy IS DISTINCT FROM 'key_strict_fifo' OR j.singleton_key IS NULL OR j.id = (
      SELECT f.id FROM candidate f
      WHERE f.policy = 'key_strict_fifo' AND f.singleton_key = j.singleton_key
        AND NOT EXISTS (SELECT FROM entered e WHERE e.id = f.new_id)
      ORDER BY f.created_on, f.id LIMIT 1
    ))
)
SELECT count(*) AS moved FROM entered
