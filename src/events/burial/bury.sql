-- Moves dead letters of deliveries from our queue to the app's table, and fails their rows of the outbox. Exactly one row a
-- delivery: one that was run again by hand and failed again is written over. All of it or nothing.
-- $1 text: pg-boss's schema, unquoted. $2 int: how many at most.
-- The error is the one that came with the copy, or else stands in the source's own row, found by its id, which is a function of what
-- the delivery says. A queue that has a dead letter queue of its own gets its copy there, too. A job that is no delivery is failed.
-- Returns (handler, event_name, reason) of each. Locks: the jobs, rows that others have locked are passed over; the rows of the outbox.
-- Indexes: the job tables' own for waiting jobs and their primary keys; the primary key of the outbox; (original_event_id).
WITH dead AS MATERIALIZED (
  SELECT j.id, j.data, j.created_on
    , j.output AS error                                                        --? !source_output
    , COALESCE(j.source_output, j.output) AS error                             --? source_output
    , NULL::int AS retries                                                     --? !lineage
    , j.source_retry_count AS retries                                          --? lineage
    , CASE WHEN jsonb_typeof(j.data) = 'object' AND j.data ->> 'outboxId' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
        AND jsonb_typeof(j.data -> 'metadata') = 'object' AND j.data ->> 'queue' IS NOT NULL
        AND COALESCE(j.data ->> 'replayOf', '') ~* '^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$'
        THEN (j.data ->> 'outboxId')::uuid END AS outbox_id
  FROM {job} j
  WHERE j.name = 'event-dead-letters' AND j.state < 'active'
  ORDER BY j.created_on
  LIMIT $2::int
  FOR UPDATE OF j SKIP LOCKED
), letter AS MATERIALIZED (
  SELECT DISTINCT ON (r.delivery) r.*
    , COALESCE(r.retries, s.retry_count, 0) AS retry_count
    , COALESCE(r.error, s.output) AS why
    , COALESCE((SELECT h.handler_id FROM {home}.event_handler h WHERE h.schema = $1::text AND h.queue = r.queue ORDER BY h.place LIMIT 1), r.queue) AS handler
    , COALESCE(left(r.data -> 'metadata' ->> 'eventName', 255), '') AS event_name
  FROM (
    SELECT d.*, d.data ->> 'queue' AS queue
      , md5(COALESCE(lower(d.data ->> 'replayOf'), d.outbox_id::text) || (d.data ->> 'queue'))::uuid AS delivery
    FROM dead d WHERE d.outbox_id IS NOT NULL
  ) r
  LEFT JOIN {job} s ON s.name = r.queue AND s.id = r.delivery
  ORDER BY r.delivery, r.created_on DESC
), told AS MATERIALIZED (
  SELECT l.*
    , COALESCE(NULLIF(l.why ->> 'message', ''), l.why -> 'value' ->> 'message', l.why ->> 'value', l.why::text, 'no reason was given') AS reason
  FROM letter l
), again AS (
  UPDATE {events}.event_dead_letter x
  SET failure_reason = t.reason, retry_count = t.retry_count, failed_at = now()
  FROM told t
  WHERE x.original_event_id = t.outbox_id AND x.metadata -> 'deadLetter' ->> 'delivery' = t.delivery::text
  RETURNING t.delivery
), entered AS (
  INSERT INTO {events}.event_dead_letter (original_event_id, event_name, event_data, metadata, failure_reason, retry_count)
  SELECT t.outbox_id, t.event_name, t.data -> 'data'
    , (t.data -> 'metadata') || jsonb_build_object('deadLetter', jsonb_build_object('handler', t.handler, 'queue', t.queue, 'delivery', t.delivery))
    , t.reason, t.retry_count
  FROM told t
  WHERE t.delivery NOT IN (SELECT delivery FROM again)
), failed AS (
  UPDATE {events}.event_outbox o
  SET status = 'failed', error_message = t.reason, processed_at = now()
  FROM (SELECT DISTINCT ON (outbox_id) * FROM told ORDER BY outbox_id, created_on DESC) t
  WHERE o.id = t.outbox_id
), copied AS (
  INSERT INTO {job} (name, data, retry_limit, keep_until
    , retry_delay, retry_backoff, expire_seconds, deletion_seconds, start_after, created_on --? !v10
    , output                                                                   --? !source_output
    , source_name, source_id, source_retry_count                               --? lineage
    , source_output                                                            --? source_output
  )
  SELECT q.dead_letter, t.data
    , COALESCE(d.retry_limit, 2)
    , {now} + COALESCE(d.retention_minutes * 60, 1209600) * interval '1s'      --? v10
    , {now} + d.retention_seconds * interval '1s'                              --? !v10
    , d.retry_delay, d.retry_backoff, d.expire_seconds, d.deletion_seconds, {now}, {now} --? !v10
    , t.why                                                                    --? !source_output
    , t.queue, t.delivery, t.retry_count                                       --? lineage
    , t.why                                                                    --? source_output
  FROM told t
  JOIN {schema}.queue q ON q.name = t.queue
  JOIN {schema}.queue d ON d.name = q.dead_letter
  WHERE q.dead_letter <> 'event-dead-letters'
), buried AS (
  DELETE FROM {job} j USING dead d WHERE j.name = 'event-dead-letters' AND j.id = d.id AND d.outbox_id IS NOT NULL
), strange AS (
  UPDATE {job} j SET state = 'failed', completed_on = {now}, output = '{"message": "this is no delivery of an event"}'
  FROM dead d WHERE j.name = 'event-dead-letters' AND j.id = d.id AND d.outbox_id IS NULL
  RETURNING j.id
)
SELECT handler, event_name, outbox_id, reason FROM told
UNION ALL SELECT NULL, NULL, id, NULL FROM strange
