-- Deletes queue $1 text through the schema's own function, under pg-boss's own advisory lock (pg-boss 11 and later). $2 text:
-- the schema, as pg-boss spells it in its locks. A table of the queue's own is dropped, which takes its exclusive lock and
-- that of the parent, and what was still to be built on it is
-- forgotten (schema 46).
WITH locked AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(('x' || encode(sha224((current_database() || '.pgboss.' || $2::text || 'delete-queue')::bytea), 'hex'))::bit(64)::bigint) --? !v10
    SELECT $2::text --? v10
)
, dropped AS ( --? retained_count
    DELETE FROM {schema}.bam b USING {schema}.queue q --? retained_count
    WHERE q.name = $1 AND q.partition AND b.table_name = q.table_name AND b.status <> 'completed' --? retained_count
) --? retained_count
SELECT {schema}.delete_queue($1) FROM locked
