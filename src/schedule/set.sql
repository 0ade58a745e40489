-- Makes a schedule or changes it. $1 text queue, $2 text key, $3 text kind, $4 text expression, $5 text zone, $6 text data
-- (JSON), $7 text options (JSON). Locks the row, and the queue's FOR KEY SHARE; 23503 where there is no such queue.
WITH wanted AS (
    SELECT $1::text AS name, $2::text AS key, $3::text AS kind, $4::text AS cron, $5::text AS timezone,
        $6::text::jsonb AS data, $7::text::jsonb AS options
)
INSERT INTO {schema}.schedule AS s (
    key, --? !v10
    kind, --? schedule_kind
    name, cron, timezone, data, options, created_on, updated_on
)
SELECT
    w.key, --? !v10
    w.kind, --? schedule_kind
    w.name, w.cron, w.timezone, w.data, w.options, {now}, {now}
FROM wanted w
ON CONFLICT (name) DO UPDATE SET --? v10
ON CONFLICT (name, key) DO UPDATE SET --? !v10
    kind = excluded.kind, --? schedule_kind
    cron = excluded.cron,
    timezone = excluded.timezone,
    data = excluded.data,
    options = excluded.options,
    updated_on = {now}
