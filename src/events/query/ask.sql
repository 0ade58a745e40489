-- Asks the one subscriber of an event: a delivery without retries that expires with the question.
-- $1 text: the event's name. $2 uuid: the job. $3 text: the payload as JSON. $4 uuid: the event. $5 text: the module. $6 text: the
-- correlation, or NULL. $7 int: seconds until it expires. $8 text: pg-boss's channel.
-- Returns (queues text[], asked bool): everybody who subscribes; nothing is asked unless that is one.
-- Locks: ROW EXCLUSIVE on the job table. Indexes: the primary keys of `subscription` and `queue`.
WITH subscribed AS MATERIALIZED (
  SELECT q.* FROM {schema}.subscription s JOIN {schema}.queue q ON q.name = s.name WHERE s.event = $1::text
), asked AS (
  INSERT INTO {job} (
    id, name, data, start_after, created_on, singleton_key, keep_until, retry_limit, retry_delay, retry_backoff, policy, dead_letter
    , expire_in                                                                --? v10
    , expire_seconds, deletion_seconds                                         --? !v10
  )
  SELECT $2::uuid, q.name
    , jsonb_build_object('metadata', jsonb_build_object('eventId', $4::uuid, 'eventName', $1::text
        , 'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        , 'sourceModule', $5::text, 'correlationId', COALESCE($6::text, gen_random_uuid()::text), 'version', 'v1')
      , 'data', $3::text::jsonb, 'queue', q.name)
    , {now}, {now}
    , CASE WHEN q.policy IN ('short', 'stately', 'exclusive', 'key_strict_fifo') THEN $2::uuid::text END
    , {now} + ($7::int + 60) * interval '1s'
    , 0, 0, false, q.policy, NULL
    , $7::int * interval '1s'                                                  --? v10
    , $7::int, q.deletion_seconds                                              --? !v10
  FROM subscribed q
  WHERE (SELECT count(*) FROM subscribed) = 1
  RETURNING name
)
, woken AS (                                                                   --? notify
  SELECT pg_notify($8::text, q.name) FROM subscribed q WHERE q.notify AND q.name IN (SELECT name FROM asked) --? notify
)                                                                              --? notify
SELECT ARRAY(SELECT name FROM subscribed ORDER BY name) AS queues, EXISTS (SELECT FROM asked) AS asked
  , (SELECT count(*) FROM woken) AS woken                                      --? notify
  , $8::text AS woken                                                          --? !notify
