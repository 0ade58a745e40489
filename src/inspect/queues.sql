-- The queues of a schema, each with the counts of its jobs by what they wait for.
-- $1 text[]: only these queues; NULL for all. $2 boolean: count completed and cancelled jobs too.
-- Takes no lock. With $2 false only live states are read, through i14 where the schema has it (46); else it is one pass
-- over the job tables, as pg-boss's own statistics make one every minute.
SELECT q.name,
       q.policy,
       q.dead_letter,
       q.table_name AS job_table, --? !v10
       q.partition_name AS job_table, --? v10
       q.notify, --? notify
       false AS notify, --? !notify
       coalesce(c.deferred, 0) AS deferred,
       coalesce(c.ready, 0) AS ready,
       coalesce(c.blocked, 0) AS blocked,
       coalesce(c.active, 0) AS active,
       coalesce(c.failed, 0) AS failed,
       coalesce(c.completed, 0) AS completed,
       coalesce(c.cancelled, 0) AS cancelled,
       row_to_json(q)::text AS everything
FROM {schema}.queue q
LEFT JOIN (
    SELECT name,
           count(*) FILTER (WHERE state < 'active' AND NOT blocked AND start_after > {now}) AS deferred, --? flows
           count(*) FILTER (WHERE state < 'active' AND NOT blocked AND start_after <= {now}) AS ready, --? flows
           count(*) FILTER (WHERE state < 'active' AND blocked) AS blocked, --? flows
           count(*) FILTER (WHERE state < 'active' AND start_after > {now}) AS deferred, --? !flows
           count(*) FILTER (WHERE state < 'active' AND start_after <= {now}) AS ready, --? !flows
           0::bigint AS blocked, --? !flows
           count(*) FILTER (WHERE state = 'active') AS active,
           count(*) FILTER (WHERE state = 'failed') AS failed,
           count(*) FILTER (WHERE state = 'completed') AS completed,
           count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM {job}
    WHERE ($1::text[] IS NULL OR name = ANY ($1))
      AND ($2 OR state IN ('created', 'retry', 'active', 'failed'))
    GROUP BY name
) c ON c.name = q.name
WHERE $1::text[] IS NULL OR q.name = ANY ($1)
ORDER BY q.name
