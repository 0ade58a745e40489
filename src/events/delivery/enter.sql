-- The part of a statement that puts deliveries into the queues; it stands behind a CTE `event` (outbox_id uuid, event_name text,
-- metadata jsonb, data jsonb, max_retries int, replay_of uuid, only_queue text), one row an event.
-- $1 text: pg-boss's schema, unquoted. $2 text: its channel. With the flag `only` an event goes to its `only_queue`, whether that
-- is subscribed or not; else to every queue that is subscribed to its name.
-- A delivery's id is a pure function of the row of the outbox (or of the dead letter it is replayed from) and the queue, so that
-- it goes in once however often this runs. Its dead letters go to our own queue, where they are buried from. Policies that
-- allow one waiting job a key get a key of its own for each event, so that none is lost to them.
-- Gives the CTEs `target` (one row a subscribed queue) and `entered` (name), and `woken`, which a SELECT has to read.
-- Locks: ROW EXCLUSIVE on the job table, KEY SHARE on the queues' rows at commit.
, target AS MATERIALIZED (
  SELECT q.*
    , s.event                                                                  --? !+only
    , (SELECT max(h.max_attempts) FROM {home}.event_handler h WHERE h.schema = $1::text AND h.queue = q.name) AS max_attempts
    , (SELECT d.name FROM {schema}.queue d WHERE d.name = 'event-dead-letters') AS burial
  FROM {schema}.queue q
  JOIN {schema}.subscription s ON s.name = q.name                              --? !+only
  WHERE q.name <> 'event-dead-letters'
)
, entered AS (
  INSERT INTO {job} (
    id, name, data, start_after, created_on, singleton_key
    , expire_in                                                                --? v10
    , expire_seconds, deletion_seconds, retry_delay_max                        --? !v10
    , heartbeat_seconds                                                        --? heartbeat
    , keep_until, retry_limit, retry_delay, retry_backoff, policy, dead_letter
  )
  SELECT md5(COALESCE(e.replay_of, e.outbox_id)::text || t.name)::uuid
    , t.name
    , CASE WHEN e.replay_of IS NULL
        THEN jsonb_build_object('metadata', e.metadata, 'data', e.data, 'outboxId', e.outbox_id, 'queue', t.name)
        ELSE jsonb_build_object('metadata', e.metadata, 'data', e.data, 'outboxId', e.outbox_id, 'queue', t.name, 'replayOf', e.replay_of)
      END
    , {now}
    , {now}
    , CASE WHEN t.policy IN ('short', 'stately', 'exclusive', 'key_strict_fifo') THEN COALESCE(e.replay_of, e.outbox_id)::text END
    , COALESCE(t.expire_seconds, 900) * interval '1s'                          --? v10
    , t.expire_seconds, t.deletion_seconds, t.retry_delay_max                  --? !v10
    , t.heartbeat_seconds                                                      --? heartbeat
    , {now} + COALESCE(t.retention_minutes * 60, 1209600) * interval '1s'      --? v10
    , {now} + t.retention_seconds * interval '1s'                              --? !v10
    , COALESCE(t.max_attempts, e.max_retries)
    , GREATEST(COALESCE(t.retry_delay, 0), CASE WHEN t.retry_backoff THEN 1 END) --? v10
    , t.retry_delay                                                            --? !v10
    , COALESCE(t.retry_backoff, false)
    , t.policy
    , COALESCE(t.burial, t.dead_letter)
  FROM event e
  JOIN target t ON t.event = e.event_name                                      --? !+only
  JOIN target t ON t.name = e.only_queue                                       --? +only
  ON CONFLICT DO NOTHING
  RETURNING name
)
, woken AS (                                                                   --? notify
  SELECT pg_notify($2::text, t.name) FROM target t                             --? notify
  WHERE t.notify AND t.name IN (SELECT name FROM entered)                      --? notify
)                                                                              --? notify
, woken AS (SELECT $2::text WHERE false AND EXISTS (SELECT FROM entered))      --? !notify
