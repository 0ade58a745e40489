-- Deletes rows of instances that are dead, stopped or silent for three beats: all but the latest 20 of each name (of each
-- host, where there is none), all but the latest 1000, and those silent for a week. $1 uuid one that stays. Skips rows that
-- are locked, for others prune, too. Schema 44 and later.
DELETE FROM {schema}.instance
WHERE id IN (
  SELECT i.id FROM {schema}.instance i
  WHERE i.id IN (
    SELECT r.id FROM (
      SELECT id, heartbeat_on
        , row_number() OVER (PARTITION BY name, CASE WHEN name IS NULL THEN host END ORDER BY started_on DESC, id DESC) AS place
        , row_number() OVER (ORDER BY started_on DESC, id DESC) AS place_of_all
      FROM {schema}.instance
      WHERE id <> $1::uuid
        AND (stopped_on IS NOT NULL OR heartbeat_on < {now} - 3 * heartbeat_seconds * interval '1 second')
    ) r
    WHERE r.place > 20 OR r.place_of_all > 1000 OR r.heartbeat_on < {now} - interval '7 days'
  )
  FOR UPDATE SKIP LOCKED
)
