-- Emits an event: its history, its row of the outbox, and with the flag `publish` its deliveries, all of it or nothing.
-- $1 text: pg-boss's schema, unquoted. $2 text: its channel. $3 uuid: the row of the outbox. $4 text: the event's name. $5 text: the
-- payload as JSON. $6 uuid: the event. $7 text: the module. $8 text: the correlation, or NULL. $9 int: retries.
-- Flags: `history`; `outbox`; `publish`, where the row of the outbox is completed already. Returns (queues, metadata): how many
-- queues it was delivered to, and the metadata as JSON text.
-- Locks: ROW EXCLUSIVE on the tables; see delivery/enter.sql for the rest.
WITH event AS MATERIALIZED (
  SELECT $3::uuid AS outbox_id, $4::text AS event_name, $5::text::jsonb AS data, $9::int AS max_retries
    , NULL::uuid AS replay_of, NULL::text AS only_queue
    , jsonb_build_object('eventId', $6::uuid, 'eventName', $4::text
      , 'timestamp', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
      , 'sourceModule', $7::text, 'correlationId', COALESCE($8::text, gen_random_uuid()::text), 'version', 'v1') AS metadata
)
, kept AS (                                                                    --? +history
  INSERT INTO {events}.event_history (event_id, event_name, event_data, metadata) --? +history
  SELECT $6::uuid, event_name, data, metadata FROM event                       --? +history
)                                                                              --? +history
, written AS (                                                                 --? +outbox
  INSERT INTO {events}.event_outbox (id, event_name, event_data, metadata, max_retries --? +outbox
    , status, processed_at                                                     --? +outbox +publish
  )                                                                            --? +outbox
  SELECT outbox_id, event_name, data, metadata, max_retries                    --? +outbox
    , 'completed', now()                                                       --? +outbox +publish
  FROM event                                                                   --? +outbox
)                                                                              --? +outbox
