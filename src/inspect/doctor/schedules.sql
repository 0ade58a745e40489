-- The schedules, and how many seconds ago somebody last looked for due ones (NULL: never). Takes no lock.
SELECT s.name, s.cron, COALESCE(s.timezone, 'UTC') AS timezone
  , s.key                                                                      --? !v10
  , '' AS key                                                                  --? v10
  , EXTRACT(epoch FROM {now} - v.cron_on)::float8 AS looked
FROM {schema}.schedule s CROSS JOIN {schema}.version v
ORDER BY s.name, key
