-- Puts jobs into one queue; what an option leaves open is the queue's to say.
--
-- $1 text: the queue. $2 bool: at least one of the jobs has no singleton key. $3 bool: the throttle slot is taken, so the
-- jobs wait for the next one. $4 text: the channel of the schema. $5.. arrays, one element a job: id uuid, data text (JSON),
-- priority int, start_at text (a timestamp), start_in text (an interval), singleton_key text, singleton_seconds int,
-- singleton_offset int, retry_limit int, retry_delay int, retry_delay_max int, retry_backoff bool, expire int, retention int,
-- delete_after int, keep_until timestamptz, dead_letter text, heartbeat int, group_id text, group_tier text, trace text (JSON).
-- An array shorter than `data` is filled up with NULL, so an option that no job has is passed as an empty array.
-- Flag `upsert`: the jobs are marked as the one of their key (schema 45). Flag `flow`: jobs of several queues, with $26.. arrays:
-- queue text, pending int (parents that are not done), blocking bool (it has children); and $29.. arrays of who waits for whom:
-- child_name text, child_id uuid, parent_name text, parent_id uuid. If one of them is kept out, the statement fails by a
-- division by zero, and with it all.
--
-- Returns no row if the queue does not exist; else a row per job that went in, or one with a NULL id if none did.
-- Locks: ROW EXCLUSIVE on the job table, KEY SHARE on the queue's row at commit; waits for uncommitted jobs it conflicts with.
-- Indexes: the primary key of `queue`; the parent `job` routes to the queue's own table.
WITH q AS (
    SELECT *, $2::bool AS keyless, $4::text AS channel
    FROM {schema}.queue
    WHERE name = $1 --? !+flow
    WHERE name = ANY ($26::text[]) --? +flow
),
entered AS (
    INSERT INTO {job} (
        id, name, data, priority, start_after, created_on, singleton_key, singleton_on,
        expire_in, --? v10
        expire_seconds, deletion_seconds, retry_delay_max, --? !v10
        group_id, group_tier, --? groups
        heartbeat_seconds, --? heartbeat
        trace_context, --? trace_context
        upsert_by_key, --? +upsert upsert_by_key
        blocked, blocking, pending_dependencies, --? +flow
        keep_until, retry_limit, retry_delay, retry_backoff, policy, dead_letter
    )
    SELECT
        COALESCE(j.id, gen_random_uuid()),
        q.name,
        j.data::jsonb,
        COALESCE(j.priority, 0),
        j.start_after,
        {now},
        j.singleton_key,
        'epoch'::timestamp + interval '1s' * (j.slot * floor((j.epoch + COALESCE(j.singleton_offset, 0)) / j.slot)),
        COALESCE(j.expire, q.expire_seconds, 900) * interval '1s', --? v10
        COALESCE(j.expire, q.expire_seconds), --? !v10
        COALESCE(j.delete_after, q.deletion_seconds), --? !v10
        COALESCE(j.retry_delay_max, q.retry_delay_max), --? !v10
        j.group_id, --? groups
        j.group_tier, --? groups
        COALESCE(j.heartbeat, q.heartbeat_seconds), --? heartbeat
        j.trace::jsonb, --? trace_context
        true, --? +upsert upsert_by_key
        j.pending > 0, j.blocking, j.pending, --? +flow
        COALESCE(j.keep_until, j.start_after + COALESCE(j.retention, q.retention_minutes * 60, 1209600) * interval '1s'), --? v10
        j.start_after + COALESCE(j.retention, q.retention_seconds) * interval '1s', --? !v10
        COALESCE(j.retry_limit, q.retry_limit, 2),
        GREATEST(COALESCE(j.retry_delay, q.retry_delay, 0), CASE WHEN COALESCE(j.retry_backoff, q.retry_backoff) THEN 1 END), --? v10
        COALESCE(j.retry_delay, q.retry_delay), --? !v10
        COALESCE(j.retry_backoff, q.retry_backoff, false),
        q.policy,
        COALESCE(j.dead_letter, q.dead_letter)
    FROM q
    CROSS JOIN (
        SELECT
            *,
            CASE
                WHEN $3::bool THEN {now} + interval '1s' * (slot - floor(epoch - slot * floor(epoch / slot)) + CASE WHEN slot > 1 THEN 1 ELSE 0 END)
                WHEN start_at IS NOT NULL THEN start_at::timestamptz
                ELSE {now} + COALESCE(start_in, '0')::interval
            END AS start_after
        FROM (
            SELECT *, singleton_seconds::float8 AS slot, date_part('epoch', {now}) AS epoch
            FROM unnest(
                $5::uuid[], $6::text[], $7::int[], $8::text[], $9::text[], $10::text[], $11::int[], $12::int[], $13::int[],
                $14::int[], $15::int[], $16::bool[], $17::int[], $18::int[], $19::int[], $20::timestamptz[], $21::text[],
                $22::int[], $23::text[], $24::text[], $25::text[]
                , $26::text[], $27::int[], $28::bool[] --? +flow
            ) AS option (
                id, data, priority, start_at, start_in, singleton_key, singleton_seconds, singleton_offset, retry_limit,
                retry_delay, retry_delay_max, retry_backoff, expire, retention, delete_after, keep_until, dead_letter,
                heartbeat, group_id, group_tier, trace
                , queue, pending, blocking --? +flow
            )
        ) AS given
    ) AS j
    WHERE NOT (q.keyless AND q.policy = 'key_strict_fifo') --? strict_fifo !+flow
    WHERE q.name = j.queue --? +flow
    ON CONFLICT DO NOTHING
    RETURNING id, start_after
        , name --? +flow
)
, tied AS ( --? +flow
    INSERT INTO {schema}.job_dependency (child_name, child_id, parent_name, parent_id) --? +flow
    SELECT * FROM unnest($29::text[], $30::uuid[], $31::text[], $32::uuid[]) --? +flow
) --? +flow
, woken AS ( --? notify
    SELECT pg_notify(q.channel, q.name) --? notify
    FROM q --? notify
    WHERE q.notify AND EXISTS (SELECT FROM entered WHERE start_after <= {now} --? notify
        AND entered.name = q.name --? notify +flow
    ) --? notify
) --? notify
SELECT 1 / (count(*) = cardinality($26::text[]))::int AS whole FROM entered --? +flow
    , (SELECT count(*) AS woken FROM woken) AS w --? +flow notify
SELECT --? !+flow
    entered.id, --? !+flow
    q.policy IS NOT DISTINCT FROM 'key_strict_fifo' AS strict --? !+flow
    , (SELECT count(*) FROM woken) AS woken --? notify !+flow
FROM q --? !+flow
LEFT JOIN entered ON true --? !+flow
