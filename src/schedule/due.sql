-- What a pass has to know of every schedule; the payloads stay where they are. Takes no locks.
SELECT
    s.name,
    '' AS key, --? v10
    COALESCE(s.key, '') AS key, --? !v10
    'cron' AS kind, --? !schedule_kind
    s.kind, --? schedule_kind
    s.cron,
    s.timezone, --? !schedule_kind
    COALESCE(s.timezone, 'UTC') AS timezone, --? schedule_kind
    false AS once, --? !schedule_kind
    COALESCE(s.options ->> 'missed' = 'once', false) AS once, --? schedule_kind
    s.created_on
FROM {schema}.schedule s
ORDER BY s.name
    , s.key --? !v10
