-- The schedules, of the queue $1 (text) or, if that is NULL, of all. Takes no locks; the primary key of `schedule` orders.
SELECT
    s.name,
    '' AS key, --? v10
    COALESCE(s.key, '') AS key, --? !v10
    'cron' AS kind, --? !schedule_kind
    s.kind, --? schedule_kind
    s.cron,
    s.timezone, --? !schedule_kind
    COALESCE(s.timezone, 'UTC') AS timezone, --? schedule_kind
    s.data::text AS data,
    s.options::text AS options,
    s.created_on,
    s.updated_on,
    NULL::uuid AS last_job_id --? !schedule_kind
    s.last_job_id --? schedule_kind
FROM {schema}.schedule s
WHERE $1::text IS NULL OR s.name = $1
ORDER BY s.name
    , s.key --? !v10
