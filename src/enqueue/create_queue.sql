-- Creates a queue through the schema's own function, unless it is there already.
--
-- $1 text: the queue. $2 text: its options as JSON, with the keys the function reads. $3 text: its dead letter queue, or NULL.
-- $4 text: the schema, as pg-boss spells it in its advisory locks.
-- Returns one row: whether the dead letter queue is there (nothing was done if not), and whether the queue was there before.
-- Locks: pg-boss's own advisory lock for this, taken before the function runs (pg-boss 11 and later); then whatever the function's DDL takes.
-- Index: the primary key of `queue`.
WITH locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(('x' || encode(sha224((current_database() || '.pgboss.' || $4::text || 'create-queue')::bytea), 'hex'))::bit(64)::bigint) --? !v10
    SELECT $4::text --? v10
),
asked AS MATERIALIZED (
    SELECT
        $3::text IS NULL OR EXISTS (SELECT FROM {schema}.queue WHERE name = $3) AS reachable,
        EXISTS (SELECT FROM {schema}.queue WHERE name = $1) AS existed
    FROM locked
)
SELECT
    reachable,
    existed,
    CASE WHEN reachable THEN {schema}.create_queue($1, $2::text::json) END AS created --? v10
    CASE WHEN reachable THEN {schema}.create_queue($1, $2::text::jsonb) END AS created --? !v10
FROM asked
