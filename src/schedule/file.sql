-- Files due occurrences as jobs of pg-boss's own queue, from which whoever looks first forwards them: one job per schedule
-- and slot, whoever files it. $1 text[] names, $2 text[] keys, $3 float8[] occurrences (seconds since the epoch), $4 text[]
-- what the payload is told of it or NULL, $5 text[] what else is to be known when it is forwarded (JSON), $6 text the
-- channel of the schema, $7 bool[] whether the slot is the minute in which it is filed, as releases before 12.33 have it:
-- those are not filed where anything of the schedule was filed since they were due. The payload is read from the schedule's row, which may have gone meanwhile.
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
        o.by_now,
        date_trunc('minute', CASE WHEN o.by_now THEN {now} ELSE to_timestamp(o.at) END AT TIME ZONE 'UTC') AS slot,
        s.name AS singleton_key, --? schedule_key_name
        s.name || '__' || s.key AS singleton_key, --? !schedule_key_name !schedule_kind
        replace(s.name, '_', '\_') || '__' || COALESCE(s.key, '') AS singleton_key, --? schedule_kind
        o.note,
        CASE
            WHEN o.told IS NOT NULL AND jsonb_typeof(COALESCE(s.data, '{}')) = 'object'
                THEN COALESCE(s.data, '{}') || jsonb_build_object('occurrence', o.told)
            ELSE s.data
        END AS data,
        s.options
    FROM unnest($1::text[], $2::text[], $3::float8[], $4::text[], $5::text[], $7::bool[])
        AS o (name, key, at, told, note, by_now)
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
        d.singleton_key,
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
    WHERE NOT d.by_now OR NOT EXISTS ( --? !schedule_slot
        SELECT FROM {job} f --? !schedule_slot
        WHERE f.name = q.name --? !schedule_slot
            AND f.singleton_on BETWEEN d.slot - interval '2 minutes' AND d.slot --? !schedule_slot
            AND f.singleton_key = d.singleton_key --? !schedule_slot
            AND f.start_after >= to_timestamp(d.at) --? !schedule_slot
    ) --? !schedule_slot
    ON CONFLICT DO NOTHING
    RETURNING singleton_key, singleton_on
)
, woken AS ( --? notify
    SELECT pg_notify(q.channel, q.name) FROM q WHERE q.notify AND EXISTS (SELECT FROM filed) --? notify
) --? notify
SELECT d.name, d.key, d.at
    , (SELECT count(*) FROM woken) AS woken --? notify
FROM due d
JOIN filed f ON f.singleton_on = d.slot AND f.singleton_key = d.singleton_key
