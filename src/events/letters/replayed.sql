, again AS (
  INSERT INTO {events}.event_outbox AS o (id, event_name, event_data, metadata)
  SELECT DISTINCT ON (original_event_id) original_event_id, event_name, event_data, metadata FROM chosen WHERE only_queue IS NULL
  ON CONFLICT (id) DO UPDATE SET status = 'pending', retry_count = 0, processed_at = NULL, error_message = NULL
), freed AS (
  DELETE FROM {home}.event_held h USING chosen c WHERE h.outbox_schema = $4::text AND h.outbox_id = c.original_event_id
), gone AS MATERIALIZED (
  SELECT replay_of AS id, outbox_id, only_queue FROM event
  UNION ALL SELECT id, original_event_id, NULL FROM chosen WHERE only_queue IS NULL
), taken AS (
  DELETE FROM {events}.event_dead_letter x USING gone g WHERE x.id = g.id
), mended AS (
  UPDATE {events}.event_outbox o SET status = 'completed', error_message = NULL
  WHERE o.id IN (SELECT outbox_id FROM event) AND o.status = 'failed'
    AND NOT EXISTS (
      SELECT FROM {events}.event_dead_letter y WHERE y.original_event_id = o.id AND y.id NOT IN (SELECT id FROM gone)
    )
)
SELECT g.id, g.only_queue AS queue, (SELECT count(*) FROM woken) AS woken FROM gone g
