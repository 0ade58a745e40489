-- The schedules, and how many seconds ago somebody last looked for due ones (NULL: never). Takes no lock. The row as JSON, for
-- schedules before version 41 have no kind.
SELECT s.name, s.cron, COALESCE(s.timezone, 'UTC') AS timezone
  , s.key                                                                      --? !v10
  , '' AS key                                                                  --? v10
  , to_jsonb(s) ->> 'kind' AS kind
  , EXTRACT(epoch FROM {now} - v.cron_on)::float8 AS looked
FROM {schema}.schedule s CROSS JOIN {schema}.version v
ORDER BY s.name, key
