-- Files due occurrences as jobs of pg-boss's own queue, from which whoever looks first forwards them: one job per schedule
-- and slot, whoever files it. $1 text[] names, $2 text[] keys, $3 float8[] occurrences (seconds since the epoch), $4 text[]
-- what the payload is told of it or NULL, $5 text[] what else is to be known when it is forwarded (JSON), $6 text the
-- channel of the schema. The payload is read from the schedule's row, which may have gone meanwhile.
--
-- Returns the name, key and occurrence of those that went in; the others were filed before. Locks as an insert of jobs.
-- Indexes: i4, unique over (name, singleton_on, singleton_key), is what makes it one job.
WITH q AS (
    SELECT *, $6::text AS channel
    FROM {schema}.queue
    WHERE name = '__pgboss__send-it'
),
due AS (
    SELECT
        s.name,
        '' AS key, --? v10
        COALESCE(s.key, '') AS key, --? !v10
        o.at,
        to_timestamp(60 * floor(o.at / 60)) AT TIME ZONE 'UTC' AS slot,
        o.note,
        CASE
            WHEN o.told IS NOT NULL AND jsonb_typeof(COALESCE(s.data, '{}')) = 'object'
                THEN COALESCE(s.data, '{}') || jsonb_build_object('occurrence', o.told)
            ELSE s.data
        END AS data,
        s.options
    FROM unnest($1::text[], $2::text[], $3::float8[], $4::text[], $5::text[]) AS o (name, key, at, told, note)
    JOIN {schema}.schedule s ON s.name = o.name
        AND COALESCE(s.key, '') = o.key --? !v10
),
filed AS (
    INSERT INTO {job} (
        id, name, data, priority, start_after, created_on, singleton_key, singleton_on,
        expire_in, --? v10
        expire_seconds, deletion_seconds, retry_delay_max, --? !v10
        heartbeat_seconds, --? heartbeat
        keep_until, retry_limit, retry_delay, retry_backoff, policy, dead_letter
    )
    SELECT
        gen_random_uuid(),
        q.name,
        jsonb_build_object(
            'name', d.name,
            'key', d.key, --? schedule_kind
            'slot', to_char(d.slot, 'YYYY-MM-DD HH24:MI:SS'), --? schedule_kind
            'options', d.options, --? !v10
            'data', d.data
        )
            || CASE WHEN jsonb_typeof(d.options) = 'object' THEN d.options ELSE '{}' END --? v10
            || jsonb_build_object('strawboss', d.note::jsonb),
        0,
        {now},
        {now},
        d.name, --? schedule_key_name
        d.name || '__' || d.key, --? !schedule_key_name !schedule_kind
        replace(d.name, '_', '\_') || '__' || d.key, --? schedule_kind
        d.slot,
        COALESCE(q.expire_seconds, 900) * interval '1s', --? v10
        q.expire_seconds, q.deletion_seconds, q.retry_delay_max, --? !v10
        q.heartbeat_seconds, --? heartbeat
        {now} + COALESCE(q.retention_minutes * 60, 1209600) * interval '1s', --? v10
        {now} + q.retention_seconds * interval '1s', --? !v10
        COALESCE(q.retry_limit, 2),
        COALESCE(q.retry_delay, 0),
        COALESCE(q.retry_backoff, false),
        q.policy,
        q.dead_letter
    FROM due d
    CROSS JOIN q
    ON CONFLICT DO NOTHING
    RETURNING singleton_key, singleton_on
)
, woken AS ( --? notify
    SELECT pg_notify(q.channel, q.name) FROM q WHERE q.notify AND EXISTS (SELECT FROM filed) --? notify
) --? notify
SELECT d.name, d.key, d.at
    , (SELECT count(*) FROM woken) AS woken --? notify
FROM due d
JOIN filed f ON f.singleton_on = d.slot
    AND f.singleton_key = d.name --? schedule_key_name
    AND f.singleton_key = d.name || '__' || d.key --? !schedule_key_name !schedule_kind
    AND f.singleton_key = replace(d.name, '_', '\_') || '__' || d.key --? schedule_kind
