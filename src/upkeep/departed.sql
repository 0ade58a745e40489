-- Deletes the rows of instances that have been silent for a week, and of those that stopped or have missed three beats all but
-- the newest 1,000. A row that its instance is writing is passed over. Schema 44 and later. Returns a row for each.
DELETE FROM {schema}.instance i WHERE i.id IN (
  SELECT o.id FROM {schema}.instance o
  WHERE o.heartbeat_on < {now} - interval '7 days'
    OR o.id IN (
      SELECT d.id FROM {schema}.instance d
      WHERE d.stopped_on IS NOT NULL OR d.heartbeat_on < {now} - 3 * d.heartbeat_seconds * interval '1s'
      ORDER BY d.started_on DESC, d.id DESC
      OFFSET 1000
    )
  FOR UPDATE OF o SKIP LOCKED
)
RETURNING 1
